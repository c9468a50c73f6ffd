"""The commands predict and evaluate: inputs, outputs, mistakes, bad input in one line."""

import io
import json
import shutil
from pathlib import Path

import pytest

from lorasent.adapter.directory import UnverifiedAdapterWarning
from tests.cli.processes import one_line

ROOT = Path(__file__).parents[2]


def test_predict_reads_arguments_lines_and_files(lorasent, small_adapter, tmp_path):
    """Each input gives text, label and probability, an object a line, in the order of the input."""
    texts = ["it was a good movie", "größer, 映画 🎬", "x " * 600]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"review": text}) + "\n" for text in texts))
    ways = {
        "arguments": lorasent("predict", small_adapter, *texts),
        "lines": lorasent("predict", small_adapter, stdin="\n\n".join(texts).encode()),
        "file": lorasent("predict", small_adapter, "--input", "in.jsonl"),
    }
    lorasent("predict", small_adapter, "--input", "in.jsonl", "--output", "out.jsonl")
    outputs = {name: done.stdout for name, done in ways.items()} | {"out": (tmp_path / "out.jsonl").read_text()}
    for name, output in outputs.items():
        rows = [json.loads(line) for line in output.splitlines()]
        assert [row["text"] for row in rows] == texts, name
        assert all(set(row) == {"text", "label", "probability"} for row in rows)
        assert all(row["label"] in ("Negative", "Positive") and 0.5 <= row["probability"] <= 1 for row in rows)
    assert len(set(outputs.values())) == 1


def test_columns_can_be_named(lorasent, small_adapter, tmp_path):
    """predict and evaluate take names of columns, as recipes do."""
    (tmp_path / "in.csv").write_text("body,verdict\nfine,Positive\npoor,negative\n")
    columns = ["--text-column", "body", "--label-column", "verdict"]
    assert json.loads(lorasent("evaluate", small_adapter, "--data", "in.csv", "--json", *columns).stdout)["n"] == 2
    assert len(lorasent("predict", small_adapter, "--input", "in.csv", *columns[:2]).stdout.splitlines()) == 2


def test_only_lf_or_cr_lf_ends_a_line_of_standard_input(lorasent, small_adapter):
    """Unicode's other separators stay inside a review, so line n of the output belongs to line n of the input."""
    done = lorasent("predict", small_adapter, stdin="one\u2028still one\x0cand still\r\ntwo".encode())
    assert [json.loads(line)["text"] for line in done.stdout.removesuffix("\n").split("\n")] == [
        "one\u2028still one\x0cand still",
        "two",
    ]


def test_evaluate_prints_the_same_figures_as_tables_and_as_json(lorasent, small_adapter):
    """Overall figures with the average's name, figures by label, confusion matrix, and calibration by confidence."""
    table = lorasent("evaluate", small_adapter, "--data", "embedded:validation")
    figures = json.loads(lorasent("evaluate", small_adapter, "--data", "embedded:validation", "--json").stdout)
    lines = [line.split() for line in table.stdout.splitlines() if line]
    shown = {line[0]: line[1:] for line in lines[:9]}
    assert shown["n"] == ["100"]
    assert shown["f1"] == [f"{figures['f1']:.4f}", "(Positive)"]
    assert shown["accuracy"] == [f"{figures['accuracy']:.4f}"]
    assert figures["average"] == "Positive"
    assert len(figures["data_sha256"]) == 64
    for name, of_label in figures["labels"].items():
        assert [name, *(f"{of_label[figure]:.4f}" for figure in ("precision", "recall", "f1")), "50"] in lines
    assert figures["labels"]["Positive"]["f1"] == figures["f1"]
    for name, counts in zip(figures["confusion"]["labels"], figures["confusion"]["counts"], strict=True):
        assert [name, *map(str, counts)] in lines
    for level in figures["reliability"]:
        numbers = [str(level["n"]), f"{level['confidence']:.4f}", f"{level['accuracy']:.4f}"]
        assert [f"{level['low']:.3f}", "to", f"{level['high']:.3f}", *numbers] in lines
    assert "errors" not in figures


@pytest.mark.slow
def test_evaluate_lists_the_same_mistakes_as_tables_and_as_json(lorasent, small_adapter, tmp_path):
    """With rows, lines and the ends of reviews, in 80 columns; standard error stays empty."""
    rows = [json.loads(line) for line in (ROOT / "lorasent" / "reviews" / "validation.jsonl").read_text("utf-8").splitlines()[:40]]
    lines = [json.dumps({**row, "genre": f"genre {number % 20}"}) for number, row in enumerate(rows)]
    (tmp_path / "in.jsonl").write_text("\n\n".join(lines))
    arguments = ["evaluate", small_adapter, "--data", "in.jsonl", "--errors", "--slice", "genre", "--top", "3"]
    table, as_json = lorasent(*arguments), lorasent(*arguments, "--json")
    assert (table.returncode, as_json.returncode, table.stderr, as_json.stderr) == (0, 0, "", "")
    assert max(map(len, table.stdout.splitlines())) <= 80
    errors, said = json.loads(as_json.stdout)["errors"], " ".join(table.stdout.split())
    assert f"Mistakes: {errors['count']} of 40 reviews" in table.stdout
    assert len(errors["worst"]) == 3
    for mistake in errors["worst"]:
        assert mistake["line"] == 2 * mistake["row"] - 1
        assert mistake["text"] == rows[mistake["row"] - 1]["text"]
        place, decided = (
            f"row {mistake['row']} (line {mistake['line']}): {mistake['label']}",
            f"decided {mistake['decided']} {mistake['confidence']:.3f}",
        )
        assert f"{place}, {decided} by a margin of {mistake['margin']:.2f}; " in said
        assert " ".join(mistake["text"].split()[-3:]) in said
        if mistake["words"] and mistake["words"][0]["delta"] > 0:
            assert f"carried by {mistake['words'][0]['word']} {mistake['words'][0]['delta']:+.2f}" in said
    assert len([row for row in errors["by_slice"] if row["column"] == "genre"]) == 20
    assert table.stdout.count("genre genre") >= 12
    assert "Of each column, the 12 values with the most mistakes are shown; --json lists all." in said
    assert f"Suspected label errors: {len(errors['suspects'])}, by confident learning" in said
    assert errors["trained_on"] is None


def test_mistakes_of_an_adapter_without_a_manifest_are_listed(lorasent, small_adapter, tmp_path):
    """Its training data is unknown, which does not matter."""
    plain = shutil.copytree(small_adapter, tmp_path / "plain")
    (plain / "lorasent.json").unlink()
    (tmp_path / "in.csv").write_text("text,label\nfine,1\npoor,0\n")
    with pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"):
        done = lorasent("evaluate", plain, "--data", "in.csv", "--errors")
    assert done.returncode == 0, done.stderr
    assert "Mistakes: " in done.stdout


def test_label_errors_among_training_reviews_come_with_a_warning(lorasent, small_adapter, tmp_path):
    """It stands among the tables, or on standard error beside JSON."""
    known = shutil.copytree(small_adapter, tmp_path / "known")
    manifest = json.loads((known / "lorasent.json").read_text())
    manifest["data"]["train"]["source"] = "in.csv"
    (known / "lorasent.json").write_text(json.dumps(manifest))
    (tmp_path / "in.csv").write_text("text,label\nfine,1\npoor,0\n")
    warning = "Warning: the adapter's manifest names these as its train reviews."
    assert warning in lorasent("evaluate", known, "--data", "in.csv", "--errors").stdout
    as_json = lorasent("evaluate", known, "--data", "in.csv", "--errors", "--json")
    assert warning in as_json.stderr
    assert json.loads(as_json.stdout)["errors"]["trained_on"] == "train"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text\nfine\n", ["--errors"], "in.csv: no label column: expected label or sentiment, found text"),
        ("text,label\n", ["--errors"], "in.csv: holds no reviews"),
        ("text,label\nfine,\n", ["--errors"], "in.csv: column label, row 1: unknown label ''"),
        ("text,label\nfine,1\n", ["--errors", "--slice", "film"], "in.csv has no column film; it has length, truncated"),
        ("text,label\nfine,1\n", ["--slice", "length"], "--slice is about mistakes; add --errors"),
        ("text,label\nfine,1\n", ["--top", "3"], "--top is about mistakes; add --errors"),
    ],
    ids=[
        "no labels",
        "no reviews",
        "a label that is not there",
        "no such column",
        "slices without errors",
        "so many without errors",
    ],
)
def test_bad_input_to_evaluate_is_one_line(lorasent, small_adapter, tmp_path, content, options, message):
    """Exit code 2."""
    (tmp_path / "in.csv").write_text(content)
    one_line(lorasent("evaluate", small_adapter, "--data", "in.csv", *options), message)


def test_a_wrong_base_hash_is_one_line(lorasent, small_adapter, tmp_path):
    """The adapter's base has changed since its training."""
    shutil.copytree(small_adapter, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "lorasent.json").read_text())
    manifest["base"]["sha256"] = "0" * 64
    (tmp_path / "copy" / "lorasent.json").write_text(json.dumps(manifest))
    one_line(lorasent("predict", "copy", "fine"), "required is 000000000000…: another base, or a damaged copy")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["missing", "fine"], b"", "missing: no such adapter directory"),
        (["ADAPTER", "fine", "--input", "x.csv"], b"", "give reviews as arguments or with --input, not both"),
        (["ADAPTER", "fine", "--precision", "fp8"], b"", "--precision fp8: allowed are auto, fp32, bf16"),
        (["ADAPTER"], b"caf\xe9\n", "standard input: expected UTF-8, found byte 0xe9"),
        (["ADAPTER", "--input", "missing.csv"], b"", "missing.csv: no such file"),
        (["ADAPTER", "fine", "--output", "no/where/out.jsonl"], b"", "expected a file in a directory that exists"),
        (["ADAPTER", "fine", "--output", "."], b"", "--output .: expected a file in a directory that exists"),
        (["ADAPTER", "caf\udce9"], b"", "arguments, row 1: expected UTF-8, found \\udce9 in it"),
    ],
    ids=[
        "no adapter",
        "two inputs",
        "unknown precision",
        "not UTF-8",
        "no input file",
        "no output folder",
        "output is a folder",
        "argument not UTF-8",
    ],
)
def test_bad_input_to_predict_is_one_line(lorasent, small_adapter, arguments, stdin, message):
    """Exit code 2."""
    arguments = [small_adapter if argument == "ADAPTER" else argument for argument in arguments]
    one_line(lorasent("predict", *arguments, stdin=stdin), message)


@pytest.mark.slow
def test_predict_and_evaluate_leave_empty_reviews_out(lorasent, small_adapter, tmp_path):
    """They list the rows on standard error; without --skip-empty an empty review is an error."""
    (tmp_path / "in.csv").write_text('text,label\nfine,0\n" ",1\nfine,1\n')  # one of them is a mistake
    for command in (["predict", small_adapter, "--input"], ["evaluate", small_adapter, "--json", "--errors", "--data"]):
        done = lorasent(*command, "in.csv", "--skip-empty")
        assert done.returncode == 0, done.stderr
        assert "in.csv: column text: 1 of 3 rows are empty and left out: row 2\n" in done.stderr
    evaluation = json.loads(done.stdout)
    mistakes = evaluation["errors"]["worst"]
    slices = [each for each in evaluation["errors"]["by_slice"] if each["column"] == "truncated"]
    assert evaluation["n"] == 2
    assert [row for each in slices for row in each["worst"]] == [mistake["row"] for mistake in mistakes]
    assert {(mistake["row"], mistake["line"]) for mistake in mistakes} <= {(1, 2), (3, 4)}
    one_line(lorasent("evaluate", small_adapter, "--data", "in.csv"), "row 2: expected a text, found nothing; leave such rows out")


def test_json_lines_are_utf_8_on_any_console(lorasent, small_recipe, small_adapter, tmp_path, monkeypatch):
    """The console's encoding is ASCII here; doctor, too, prints everything."""
    (tmp_path / "in.csv").write_text("text,label\ngrößer 映画,1\ndull,0\n", "utf-8")
    ways = ["--train", "in.csv", "--set", "data.sample=2", "--set", "augmentation.typos=0.1"]
    for command in (["predict", small_adapter, "--input", "in.csv"], ["augment", small_recipe, *ways]):
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "ascii"))
        done = lorasent(*command)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert "größer 映画" in {row.get("original", row["text"]) for row in rows}
    assert "embedded base 53aa51172d14… (as pinned)" in lorasent("doctor").stdout


@pytest.mark.slow
def test_evaluate_writes_a_page(lorasent, small_adapter, tmp_path):
    """With slices and mistakes, which the terminal shows with --errors alone; the figures are the same."""
    done = lorasent("evaluate", small_adapter, "--data", "embedded:validation", "--json", "--top", "2", "--report", "page.html")
    page, said = (tmp_path / "page.html").read_text(), json.loads(done.stdout)
    assert (done.returncode, done.stderr, "errors" in said) == (0, "Written: page.html\n", False)
    assert f"{said['log_loss']:.4f}" in page
    assert page.count('<article class="flip broken">') == 2
    assert all(f'id="{part}"' in page for part in ("answers", "slices", "mistakes", "provenance"))
