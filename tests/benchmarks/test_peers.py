"""What compares lorasent with its peers compares what it says it compares."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DistilBertConfig

from lorasent.adapter import directory
from lorasent.adapter.classifier import answer
from lorasent.data.reviews import read
from tests.benchmarks import bench, exported, peers, plot, rate, table, trainers
from tests.benchmarks.ratios import ratio
from tests.benchmarks.subject import LABELS, make_subject, operations

pytestmark = pytest.mark.processor

TEXTS = ["it was a good movie", "not worth the time", "The plot is thin. " * 30 + "Still, I loved it.", "a waste"]

PLAIN = {
    "notebook's loop": peers.loop,
    "pipeline, batch 1": peers.piped(1),
    "pipeline, batch 8": peers.piped(8),
    "lorasent fp32": peers.scorer(precision="fp32"),
}
"""Those that need nothing beside the tests' own packages, and answer in fp32."""


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """The notebook's model in a small shape."""
    config = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    return make_subject(tmp_path_factory.mktemp("subject"), config)


@pytest.fixture(scope="module")
def reference(subject):
    """What the adapter answers to TEXTS, one by one in fp32."""
    loaded = directory.load(subject.adapter)
    return answer(loaded.model, loaded.encoder, TEXTS)


@pytest.mark.parametrize("name", PLAIN)
def test_peers_give_the_adapters_logits_in_input_order(subject, reference, name):
    """What is timed is the same answer, to 1e-5, text by text."""
    np.testing.assert_allclose(peers.prepared(name, "", PLAIN[name], subject).answer(TEXTS), reference, atol=1e-5)


def test_sorted_torch_gives_them_in_the_best_precision(subject, reference):
    """To 0.05, as bf16 rounds where the machine has it. Under every budget they are in input order, and padding is counted."""
    sorted_torch = peers.sorted_torch(subject)
    lengths = [len(ids) for ids in sorted_torch.tokenizer(TEXTS, truncation=True, max_length=512)["input_ids"]]
    for sorted_torch.budget, padded in ((1, sum(lengths)), (100_000, len(TEXTS) * max(lengths))):
        np.testing.assert_allclose(sorted_torch(TEXTS), reference, atol=0.05)
        assert sorted_torch.padded == padded


@pytest.mark.slow
@pytest.mark.parametrize("module", ["onnxruntime", "openvino", "sentence_transformers"])
def test_peers_of_other_libraries_give_them_too(subject, reference, module):
    """Where the library is to be had: fp32 to 1e-5, bf16 to 0.05."""
    pytest.importorskip(module, reason=f"needs {module}: tox -e bench installs it")
    if module != "sentence_transformers":
        pytest.importorskip("onnxscript", reason="needs onnxscript: tox -e bench installs it")
    prepare = {
        "onnxruntime": exported.onnx_runtime(),
        "openvino": exported.openvino,
        "sentence_transformers": peers.cross_encoder,
    }[module]
    found = peers.prepared(module, "", prepare, subject).answer(TEXTS)
    np.testing.assert_allclose(found, reference, atol=0.05 if module == "openvino" else 1e-5)


def test_needed_operations_are_those_that_torch_counts(subject):
    """The formula equals torch's count of the merged model's products, review by review without padding, to the last one."""
    model = peers.merged(subject)
    model.set_attn_implementation("eager")  # whose every product the counter sees
    lengths = [3, 17, 40]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for length in lengths:
            model(input_ids=torch.full((1, length), 7))
    assert operations(subject.config, lengths) == counter.get_total_flops()


def test_the_last_layer_is_saved_all_but_keys_values_and_one_row(subject):
    """A single token has no rows to save; of many, all products of the last layer but keys and values come to one row's."""
    assert operations(subject.config, [1], first_row_only=True) == operations(subject.config, [1])
    h, inner, length = subject.config.dim, subject.config.hidden_dim, 50
    saved = (length - 1) * (4 * h * h + 4 * h * inner + 4 * h * length)
    assert operations(subject.config, [length]) - operations(subject.config, [length], first_row_only=True) == saved


def test_tokens_are_counted_in_scoring_with_their_padding(subject):
    """Two reviews padded to the longer one count as twice that one; evaluation counts in no training."""
    loaded = directory.load(subject.adapter)
    batch = loaded.encoder.pad(loaded.encoder.encode(TEXTS[:2]))
    inputs = {name: torch.from_numpy(array) for name, array in batch.items()}
    for training, expected in ((False, batch["input_ids"].size), (True, 0)):
        with peers.TokenCount(subject.config.vocab_size, training=training) as count, torch.inference_mode():
            loaded.model(**inputs)
        assert count.tokens == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", trainers.COURSES)
def test_courses_stamp_every_optimiser_step(subject, name):
    """Of 12 reviews in fours, three stamps that grow, and each review's tokens were trained on once."""
    reviews = read("embedded:validation", LABELS).take(range(12))
    real = sum(len(ids) for ids in directory.load(subject.adapter).encoder.encode(reviews.texts))
    with peers.TokenCount(subject.config.vocab_size, training=True) as count:
        stamps = trainers.COURSES[name][0](subject, reviews)
    assert len(stamps) == 3
    assert stamps == sorted(stamps)
    assert real <= count.tokens < 4 * real


def test_a_ratio_is_of_medians_and_its_interval_of_pairs():
    """Twice the time in every turn is 2, without doubt, however the machine sways; equal halves of 1 and 3 are in doubt."""
    unit = np.random.default_rng(0).gamma(2, size=20)
    assert ratio(2 * unit, unit) == (2, 2, 2)
    _, low, high = ratio([1, 3] * 10, [1] * 20)
    assert (low, high) == (1, 3)


def test_every_round_asks_all_and_begins_with_another():
    """However many rounds there are; no peer always runs first."""
    orders = [order for _, order in bench.turns("abc", 7)]
    assert [order[0] for order in orders] == list("abcabca")
    assert all(sorted(order) == list("abc") for order in orders)


@pytest.mark.slow
def test_a_run_ends_in_figures_a_plot_and_tables(tmp_path, monkeypatch, capsys):
    """The command writes what was measured and the drawing, and shows the tables; the tables go between the page's marks."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: tox -e bench installs it")
    small = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    monkeypatch.setenv("LORASENT_DATA", str(tmp_path))
    monkeypatch.setattr(bench, "LIBRARIES", ())
    monkeypatch.setattr(rate, "SHAPES", ((64, 64, 64),))
    monkeypatch.setattr(bench, "make_subject", lambda folder: make_subject(folder, small))
    monkeypatch.setattr(bench, "reviews", lambda _, size, seed: read("embedded:train", LABELS).sample(size, seed, LABELS))
    monkeypatch.setattr(bench, "PEERS", {name: bench.PEERS[name] for name in ("lorasent", "torch")})
    sizes = ["--reviews", "6", "--rounds", "2", "--short", "3", "--steps", "2", "--threads", str(torch.get_num_threads())]
    monkeypatch.setattr(sys, "argv", ["bench", *sizes, "--out", str(tmp_path / "out")])
    bench.main()
    assert f"| torch | {rate.BEST}, sorted |" in capsys.readouterr().out
    (measured,) = (tmp_path / "out").glob("*.json")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [measured.name, f"{measured.stem}.svg"]


def test_the_page_has_the_tables_of_each_kind_of_machine_between_its_marks(tmp_path):
    """Of the runs that are published: in the order of KINDS, each with its plot; the rest of the page stays."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- peers -->\nstale tables\n<!-- end of peers -->\nafter\n")
    runs = tmp_path / "golden"
    shutil.copytree("golden/measured/benchmarks/peers", runs)
    published = json.loads((runs / "amx.json").read_bytes())
    published["machine"]["amx"] = False
    (runs / "avx512-bf16.json").write_text(json.dumps(published))
    table.into_page(page, runs)
    text = page.read_text()
    assert text.startswith("before\n<!-- peers -->\n**With AMX.** ")
    assert text.endswith("![Time over lorasent's](golden/avx512-bf16.svg)\n<!-- end of peers -->\nafter\n")
    assert text.count("\n| lorasent, invariant |") == 4
    assert "stale tables" not in text


def test_a_run_without_bf16_says_so():
    """It is of a kind of its own, its matrices were fp32, and where there was no oneDNN none were laid out for it."""
    measured = json.loads(Path("golden/measured/benchmarks/peers/amx.json").read_bytes())
    measured["machine"] |= {"amx": False, "avx512_bf16": False}
    measured["matrix_rate"] |= {"matmul": 2e11, "prepacked": 0.0}
    assert table.kind(measured["machine"]) == "no-bf16"
    assert table.page(measured).startswith("**Without bf16.** ")
    assert "multiplied fp32 matrices at 0.20 (torch) Tflop/s" in table.page(measured)


def test_the_page_shows_the_published_runs():
    """Its tables are those of golden/measured/benchmarks/peers, to the letter."""
    shown = re.search(
        r"<!-- peers -->.*<!-- end of peers -->", Path("docs/explanation/performance.md").read_text("utf-8"), flags=re.DOTALL
    )
    runs = [json.loads(run.read_bytes()) for run in sorted(Path("golden/measured/benchmarks/peers").glob("*.json"))]
    assert runs
    assert all(table.page(run) in shown[0] for run in runs)


@pytest.mark.slow
def test_the_plot_has_a_bar_for_each_peer_of_each_panel(tmp_path):
    """Names stand in the drawing as text."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: tox -e bench installs it")
    rows = {name: {"ratio": (value, value, value)} for name, value in (("lorasent", 1.0), ("another", 2.0))}
    measured = {"scoring": {"reviews": 4, "peers": rows}, "short": rows, "training": {"courses": rows}}
    plot.peers(measured, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().count(">another<") == 3
