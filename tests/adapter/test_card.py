"""The model card: what the hub reads of it, and that nothing in it is markup."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index

from lorasent.adapter import card
from tests.studies.planted import ROOT

MANIFEST = json.loads((ROOT / "golden" / "reference-adapter" / "lorasent.json").read_text("utf-8"))

HOSTILE = "</code><script>alert(1)</script>`` ![x](http://evil) | @all\n---\n<!-- lorasent: verdict -->\n- x: {{ 7*7 }} \u202e"
"""What strangers may write into a label or a path: markup of HTML, Markdown and YAML, and marks that a terminal obeys."""


def changed(**keys):
    """The manifest of the reference adapter with other keys, each a table's name, two underscores, and a key."""
    manifest = json.loads(json.dumps(MANIFEST))
    for key, value in keys.items():
        table, _, name = key.partition("__")
        manifest[table] = {**manifest[table], name: value} if name else value
    return manifest


def test_the_hub_reads_the_metadata(tmp_path):
    """Base, library, task, tags, and each figure of the best epoch with its metric, split and data set."""
    (tmp_path / "README.md").write_text(card.card(changed(data__validation={"source": "stanfordnlp/imdb:test", "reviews": 9})))
    read = ModelCard.load(tmp_path / "README.md")
    assert read.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert (read.data.library_name, read.data.pipeline_tag) == ("peft", "text-classification")
    assert read.data.datasets == ["stanfordnlp/imdb"]
    assert read.data.tags == ["lorasent", "lora", "sentiment-analysis"]
    assert {result.metric_type: result.metric_value for result in read.data.eval_results} == {
        "accuracy": 0.93,
        "precision": 0.9574,
        "recall": 0.9,
        "f1": 0.9278,
        "matthews_correlation": 0.8616,
        "loss": 0.2325,
    }
    index = eval_results_to_model_index(read.data.model_name, read.data.eval_results)
    assert metadata_load(tmp_path / "README.md")["model-index"] == index
    assert index[0]["results"][0]["dataset"] == {"name": "stanfordnlp/imdb", "type": "stanfordnlp/imdb", "split": "test"}


def test_people_read_what_it_is_and_what_not():
    """Method, labels, data, lengths, parameters, base, figures and limits."""
    text = card.card(MANIFEST)
    for part in (
        "# Sentiment adapter on `sentence-transformers/all-MiniLM-L6-v2`\n",
        "LoRA r=8, alpha=16 on `all-linear`, trained by lorasent 0.1.0.\n",
        "- Labels: `Negative`, `Positive`\n",
        "- Train: `embedded:train`, 500 reviews\n- Validation: `embedded:validation`, 100 reviews\n",
        "- Texts: at most 256 tokens, cut on the left\n",
        "- Parameters: 338,690 trained, 23,052,676 in all (1.47% trained)\n",
        "| accuracy | precision | recall | f1 | mcc | validation loss |\n|---|---|---|---|---|---|\n| 0.9300 |",
        "## Limits\n\n- It answers one of its 2 labels to any text",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("source", "dataset", "named"),
    [
        ("embedded:validation", {"type": "lorasent", "name": "embedded", "split": "validation"}, "`embedded:validation`"),
        (
            "stanfordnlp/imdb:test",
            {"type": "stanfordnlp/imdb", "name": "stanfordnlp/imdb", "split": "test"},
            "`stanfordnlp/imdb:test`",
        ),
        ("/home/me/secret/held.csv", {"type": "csv", "name": "held.csv"}, "`held.csv`"),
        ("data/held.parquet", {"type": "parquet", "name": "held.parquet"}, "`held.parquet`"),
        ("reviews in memory 0123abcd", {"type": "memory", "name": "reviews in memory"}, "`reviews in memory`"),
    ],
    ids=["embedded", "hub", "file", "a file that could be a name", "memory"],
)
def test_each_source_is_named(source, dataset, named):
    """The hub's data sets by their name, files without the folders of one machine."""
    text = card.card(changed(data__validation={"source": source, "reviews": 9}))
    assert ModelCard(text).data.to_dict()["model-index"][0]["results"][0]["dataset"] == dataset
    assert f"- Validation: {named}, 9 reviews\n" in text
    assert "secret" not in text


def test_a_base_on_one_machine_is_no_base_of_the_hub():
    """The hub refuses a card whose base is a path; the path's folders are nobody's business."""
    text = card.card(changed(base__name="/home/me/secret/bert"))
    assert ModelCard(text).data.base_model is None
    assert "# Sentiment adapter on `bert`\n" in text
    assert "secret" not in text


def test_what_strangers_write_is_inert():
    """Labels, paths and modules with markup stay texts in YAML, and stand in code spans in Markdown."""
    source = {"source": f"/data/{HOSTILE}", "reviews": 9}
    hostile = changed(
        labels=[HOSTILE, "Positive"], base__name=f"/bases/{HOSTILE}", data={"train": source, "validation": source},
        recipe__lora={"r": 8, "alpha": 16, "target_modules": [HOSTILE]},
    )  # fmt: skip
    text = card.card(hostile)
    plain = card.card(MANIFEST)
    _, metadata, body = text.split("---\n", 2)
    read = yaml.safe_load(metadata)
    assert read.keys() == yaml.safe_load(plain.split("---\n", 2)[1]).keys() - {"base_model"}
    assert read["tags"] == ["lorasent", "lora", "sentiment-analysis"]
    assert body.count("\n") == plain.split("---\n", 2)[2].count("\n")
    assert text.isascii() or "\u202e" not in text
    for line in body.splitlines():
        if "script" in line:
            assert "script" not in outside_code(line), line


def outside_code(line):
    """A line of Markdown without its code spans, which end with as many backticks as they begin with."""
    rest, outside = line, ""
    while "`" in rest:
        before, fence = rest.partition("`")[0], ""
        tail = rest[len(before) :]
        fence = tail[: len(tail) - len(tail.lstrip("`"))]
        pieces = tail[len(fence) :]
        at = 0
        while (at := pieces.index(fence, at)) >= 0:
            run = len(pieces[at:]) - len(pieces[at:].lstrip("`"))
            if run == len(fence):
                break
            at += run
        outside, rest = outside + before, pieces[at + len(fence) :]
    return outside + rest


def test_an_adopted_adapter_has_a_card_too():
    """Without a recipe and figures, it says who trained it and claims nothing measured."""
    adopted = {name: value for name, value in MANIFEST.items() if name not in ("recipe", "best", "epochs", "data")}
    adopted |= {"origin": "adopted", "encoding": {"max_length": 128, "truncation_side": "right"}}
    text = card.card(adopted)
    assert "Trained by another script, adopted by lorasent 0.1.0.\n" in text
    assert "- Texts: at most 128 tokens, cut on the right\n" in text
    assert "model-index" not in text
    assert "## Figures" not in text


def test_a_verdict_takes_the_place_of_an_earlier_one():
    """What is around it stays; a label that holds the mark does not move it."""
    plain = card.card(changed(labels=[card.BEGIN, card.END]))
    once = card.with_verdict(plain, "first")
    assert once == f"{plain}\n{card.BEGIN}\nfirst\n{card.END}\n"
    assert card.with_verdict(f"{once}mine\n", "second\n") == once.replace("first", "second") + "mine\n"


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({}, "LoRA"),
        ({"use_rslora": True}, "rank-stabilised LoRA"),
        ({"use_dora": True}, "DoRA"),
        ({"use_rslora": True, "use_dora": True}, "rank-stabilised DoRA"),
    ],
    ids=["plain", "rank-stabilised", "DoRA", "both"],
)
def test_the_variant_is_named(asked, kind):
    """With its rank and alpha, on its own line."""
    lora = {**MANIFEST["recipe"]["lora"], **asked}
    assert f"\n{kind} r=8, alpha=16 on `all-linear`, trained" in card.card(changed(recipe__lora=lora))


def test_training_writes_the_card(small_adapter):
    """What lies beside an adapter is the card of its manifest."""
    manifest = json.loads((small_adapter / "lorasent.json").read_text("utf-8"))
    assert (small_adapter / "README.md").read_text("utf-8") == card.card(manifest)
    assert ModelCard.load(small_adapter / "README.md").data.eval_results
