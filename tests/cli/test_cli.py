"""The command line as its user meets it: a process, its output, its exit code."""

import io
import json
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lorasent.adapter.directory import UnverifiedAdapterWarning
from lorasent.data.reviews import read
from tests.support.bases import LABELS

ROOT = Path(__file__).parents[2]


def one_line(done, message):
    """Exit 2, one line on standard error that says it, nothing on standard output, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("lorasent: ")
    assert message in line


def test_train_shows_each_step(lorasent, small_recipe, tmp_path):
    """What it trains and on what, before, the table, the best epoch, after, and what to do next."""
    done = lorasent("train", small_recipe, "--out", "mine", "--seed", "3", "--set", "training.epochs=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    shown = done.stderr
    for part in (
        "Training mine by recipe",
        "Train: embedded:train, 24 reviews (12 Negative, 12 Positive)",
        "Validation: embedded:validation, 24 reviews",
        "Tokens per training review: median",
        "cut to 64 on the left",
        "trainable (",
        "the head counts twice",
        "Untrained, the four sample reviews are:",
        "epoch train loss   val loss   accuracy  precision     recall         f1        mcc",
        "Best epoch: ",
        "Trained, they are:",
        "The adapter lies in mine. Next:",
    ):
        assert part in shown
    assert "Stopped" not in shown
    assert shown.count("good god,thats the worst film") == 2
    rows = [line.split() for line in shown.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2"]
    assert json.loads((tmp_path / "mine" / "lorasent.json").read_text())["recipe"]["training"]["seed"] == 3


@pytest.mark.slow
def test_train_says_how_reviews_are_augmented(lorasent, small_recipe):
    """Which ways, how strong, and a review before and after, as the first epoch shows it."""
    ways = ["--set", "augmentation.share=0.75", "--set", "augmentation.synonyms=0.5", "--set", "augmentation.markup=0.5"]
    done = lorasent("train", small_recipe, "--out", "mine", "--set", "training.epochs=1", *ways)
    assert done.returncode == 0, done.stderr
    shown = done.stderr.splitlines()
    at = shown.index("Augmented: 75% of the training reviews, anew in each epoch: synonyms 0.5, markup 0.5")
    assert [line[:14] for line in shown[at + 1 : at + 3]] == ["  for example ", "  becomes     "]
    assert shown[at + 1][14:] != shown[at + 2][14:]


def test_augment_shows_the_first_epoch(lorasent, small_recipe, tmp_path):
    """Every training review as it is shown, with its label and what it was; what comes out is a source of reviews."""
    done = lorasent("augment", small_recipe, "--set", "augmentation.typos=0.2")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    changed = sum(row["text"] != row["original"] for row in rows)
    assert len(rows) == 24
    assert 4 <= changed <= 20
    (tmp_path / "augmented.jsonl").write_text(done.stdout)
    assert read("augmented.jsonl", LABELS).counts(LABELS) == {"Negative": 12, "Positive": 12}


@pytest.mark.slow
def test_augment_asks_an_adapter_whether_labels_hold(lorasent, small_recipe, small_adapter):
    """A line a way; exit 0 where labels hold, 3 where the reviews are too few to tell."""
    asked = ["augment", small_recipe, "--set", "augmentation.typos=0.2", "--judge", small_adapter, "--data", "embedded:validation"]
    held = lorasent(*asked, "--margin", "0.9")
    assert held.returncode == 0, held.stderr
    head, row = held.stdout.splitlines()
    assert head.startswith("way ")
    assert row.startswith("typos ")
    assert row.endswith(": holds")
    assert held.stderr == "Asked about 100 reviews of embedded:validation.\n"
    assert lorasent(*asked, "--margin", "0").returncode in (1, 3)


@pytest.mark.parametrize("option", [("--data", "embedded:validation"), ("--margin", "0.1")])
def test_augment_asks_nobody_without_an_adapter(lorasent, small_recipe, option):
    """What is meant for the one that judges is not ignored."""
    done = lorasent("augment", small_recipe, "--set", "augmentation.typos=0.2", *option)
    one_line(done, f"{option[0]} is for the adapter that is asked; add --judge")


def test_augment_needs_a_way(lorasent, small_recipe):
    """A recipe without the table is an error that says how to write one."""
    one_line(
        lorasent("augment", small_recipe), "has no table [augmentation]; write one, or turn a way on: --set augmentation.typos=0.02"
    )


@pytest.mark.slow
def test_train_says_where_it_stopped(lorasent, small_recipe):
    """Where early stopping ended a run, why, and which epoch was kept stands below the table."""
    sets = ("training.epochs=9", "training.early_stopping_patience=2", "training.early_stopping_min_improvement=0.5")
    done = lorasent("train", small_recipe, "--out", "mine", *(word for one in sets for word in ("--set", one)))
    said = r"\n +3 .*\nStopped after epoch 3 of 9: no improvement over 0.5 for 2 epochs; kept epoch \d\nBest epoch"
    assert re.search(said, done.stderr)


def test_predict_reads_arguments_lines_and_files(lorasent, small_adapter, tmp_path):
    """Each way gives text, label and probability, one object a line, in input order."""
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
    """predict and evaluate take the columns' names, as recipes do."""
    (tmp_path / "in.csv").write_text("body,verdict\nfine,Positive\npoor,negative\n")
    columns = ["--text-column", "body", "--label-column", "verdict"]
    assert json.loads(lorasent("evaluate", small_adapter, "--data", "in.csv", "--json", *columns).stdout)["n"] == 2
    assert len(lorasent("predict", small_adapter, "--input", "in.csv", *columns[:2]).stdout.splitlines()) == 2


def test_a_line_ends_only_where_a_line_ends(lorasent, small_adapter):
    """Other separators of Unicode's stay inside a review, so that line n of the output answers line n of the input."""
    done = lorasent("predict", small_adapter, stdin="one\u2028still one\x0cand still\r\ntwo".encode())
    assert [json.loads(line)["text"] for line in done.stdout.removesuffix("\n").split("\n")] == [
        "one\u2028still one\x0cand still",
        "two",
    ]


@pytest.mark.slow
def test_the_base_can_be_named(lorasent, small_recipe, bases, tmp_path):
    """--base takes the place of the recipe's base, its pinned revision included."""
    pinned = tmp_path / "pinned.toml"
    pinned.write_text(small_recipe.read_text().replace("labels =", 'revision = "abc"\nlabels ='))
    done = lorasent("train", pinned, "--out", "mine", "--base", bases("bert"), "--set", "training.epochs=1")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "mine" / "lorasent.json").read_text())["base"]["revision"] is None


def test_evaluate_gives_a_table_and_json(lorasent, small_adapter):
    """The same figures twice, the average named: the whole's, each label's, the confusion matrix, and calibration by confidence."""
    table = lorasent("evaluate", small_adapter, "--data", "embedded:validation")
    figures = json.loads(lorasent("evaluate", small_adapter, "--data", "embedded:validation", "--json").stdout)
    lines = [line.split() for line in table.stdout.splitlines() if line]
    shown = {line[0]: line[1:] for line in lines[:9]}
    assert shown["n"] == ["100"]
    assert shown["f1"] == [f"{figures['f1']:.4f}", "(Positive)"]
    assert shown["accuracy"] == [f"{figures['accuracy']:.4f}"]
    assert figures["average"] == "Positive"
    assert len(figures["data_sha256"]) == 64
    for name, own in figures["labels"].items():
        assert [name, *(f"{own[one]:.4f}" for one in ("precision", "recall", "f1")), "50"] in lines
    assert figures["labels"]["Positive"]["f1"] == figures["f1"]
    for name, counts in zip(figures["confusion"]["labels"], figures["confusion"]["counts"], strict=True):
        assert [name, *map(str, counts)] in lines
    for one in figures["reliability"]:
        numbers = [str(one["n"]), f"{one['confidence']:.4f}", f"{one['accuracy']:.4f}"]
        assert [f"{one['low']:.3f}", "to", f"{one['high']:.3f}", *numbers] in lines
    assert "errors" not in figures


def test_evaluate_tells_the_mistakes(lorasent, small_adapter, tmp_path):
    """The same twice, with rows, lines and the ends of reviews, in 100 columns; standard error is for the rest."""
    rows = [json.loads(line) for line in (ROOT / "lorasent" / "reviews" / "validation.jsonl").read_text("utf-8").splitlines()[:40]]
    lines = [json.dumps({**row, "genre": f"genre {number % 20}"}) for number, row in enumerate(rows)]
    (tmp_path / "in.jsonl").write_text("\n\n".join(lines))
    asked = ["evaluate", small_adapter, "--data", "in.jsonl", "--errors", "--slice", "genre", "--top", "3"]
    table, told = lorasent(*asked), lorasent(*asked, "--json")
    assert (table.returncode, told.returncode, table.stderr, told.stderr) == (0, 0, "", "")
    assert max(map(len, table.stdout.splitlines())) <= 100
    errors = json.loads(told.stdout)["errors"]
    assert f"Mistakes: {errors['count']} of 40 reviews" in table.stdout
    assert len(errors["worst"]) == 3
    for one in errors["worst"]:
        assert one["line"] == 2 * one["row"] - 1
        assert one["text"] == rows[one["row"] - 1]["text"]
        place, decided = (
            f"row {one['row']} (line {one['line']}): {one['label']}",
            f"decided {one['decided']} {one['confidence']:.3f}",
        )
        assert f"{place}, {decided} by a margin of {one['margin']:.2f}; " in table.stdout
        assert " ".join(one["text"].split()[-3:]) in " ".join(table.stdout.split())
        if one["words"] and one["words"][0]["delta"] > 0:
            assert f"carried by {one['words'][0]['word']} {one['words'][0]['delta']:+.2f}" in table.stdout
    assert len([one for one in errors["by_slice"] if one["column"] == "genre"]) == 20
    assert table.stdout.count("genre genre") >= 12
    assert "Of each column, the 12 values with the most mistakes are shown; --json lists all." in table.stdout
    assert f"Suspected label errors: {len(errors['suspects'])}, by confident learning" in table.stdout
    assert errors["trained_on"] is None


def test_mistakes_of_plain_peft_are_told(lorasent, small_adapter, tmp_path):
    """An adapter without a manifest says nothing of its training; its mistakes are told as any."""
    plain = shutil.copytree(small_adapter, tmp_path / "plain")
    (plain / "lorasent.json").unlink()
    (tmp_path / "in.csv").write_text("text,label\nfine,1\npoor,0\n")
    with pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"):
        done = lorasent("evaluate", plain, "--data", "in.csv", "--errors")
    assert done.returncode == 0, done.stderr
    assert "Mistakes: " in done.stdout


def test_suspicion_of_known_reviews_is_warned_of(lorasent, small_adapter, tmp_path):
    """Among the tables, or on standard error beside JSON: what the adapter was trained on it hardly doubts."""
    known = shutil.copytree(small_adapter, tmp_path / "known")
    manifest = json.loads((known / "lorasent.json").read_text())
    manifest["data"]["train"]["source"] = "in.csv"
    (known / "lorasent.json").write_text(json.dumps(manifest))
    (tmp_path / "in.csv").write_text("text,label\nfine,1\npoor,0\n")
    warning = "Warning: the adapter's manifest names these as its train reviews."
    assert warning in lorasent("evaluate", known, "--data", "in.csv", "--errors").stdout
    told = lorasent("evaluate", known, "--data", "in.csv", "--errors", "--json")
    assert warning in told.stderr
    assert json.loads(told.stdout)["errors"]["trained_on"] == "train"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text\nfine\n", ["--errors"], "in.csv: no label column: expected label or sentiment, found text"),
        ("text,label\n", ["--errors"], "in.csv: holds no reviews"),
        ("text,label\nfine,\n", ["--errors"], "in.csv: column label, row 1: unknown label ''"),
        ("text,label\nfine,1\n", ["--errors", "--slice", "film"], "in.csv has no column film; it has length, truncated"),
        ("text,label\nfine,1\n", ["--slice", "length"], "--slice says how mistakes are told; add --errors"),
        ("text,label\nfine,1\n", ["--top", "3"], "--top says how mistakes are told; add --errors"),
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
    """Exit 2 and one clear line."""
    (tmp_path / "in.csv").write_text(content)
    one_line(lorasent("evaluate", small_adapter, "--data", "in.csv", *options), message)


def test_doctor_reports_and_never_stops(lorasent):
    """Versions, bf16, GPU, the embedded base, and a hub that cannot be reached."""
    done = lorasent("doctor")
    assert done.returncode == 0
    assert "embedded base 53aa51172d14… (as pinned)" in done.stdout
    assert re.search(r"^hub +(no: |offline)", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run_and_says_how(lorasent, small_recipe, tmp_path):
    """SIGINT after an epoch: exit 130, the command that goes on, and that command works."""
    command = [sys.executable, "-m", "lorasent.cli", "train", str(small_recipe), "--out", "mine", "--set", "training.epochs=200"]
    # A shell's background jobs ignore SIGINT, and so would what they start.
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, **listening) as process:
        for line in process.stderr:
            if line.split()[:1] == ["2"]:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1].startswith("Interrupted. Go on after the last whole epoch with: lorasent train")
    assert rest.splitlines()[-1].endswith("--out mine --set training.epochs=200 --resume")
    assert "Traceback" not in rest
    again = lorasent("train", small_recipe, "--out", "mine", "--set", "training.epochs=200")
    one_line(again, "mine.partial: holds an interrupted run; go on with --resume, or remove it")
    assert (tmp_path / "mine.partial").is_dir()


BAD_TRAINING = {
    "no such recipe": (["nothing.toml"], "nothing.toml: no such recipe: give the path of a TOML file or one of embedded, imdb-"),
    "unknown key": (["--set", "lora.rank=8"], "recipe embedded: unknown key lora.rank; allowed here: r, alpha"),
    "impossible value": (["--set", "training.epochs=0"], "training.epochs = 0: should be greater than or equal to 1"),
    "no such file": (["--train", "missing.csv"], "missing.csv: no such file or folder"),
    "empty file": (["--train", "empty.csv"], "empty.csv: the file is empty"),
    "wrong columns": (["--train", "columns.csv"], "columns.csv: no text column: expected text or review or sentence, found a, b"),
    "unknown label": (["--train", "label.csv"], "label.csv: column label, row 1: unknown label 'meh'; expected Negative, Positive"),
    "one class": (["--train", "one.csv"], "one.csv: training needs reviews of every label, found none labelled Negative"),
    "not UTF-8": (["--train", "latin.csv"], "latin.csv: expected UTF-8, found byte 0xe9"),
    "NaN text": (["--train", "nan.jsonl"], "nan.jsonl: column text, row 1: expected a text, found nothing"),
    "unreachable hub": (["--base", "no-one/nothing"], "no-one/nothing: no such directory, not in the cache, and not to be had"),
    "unreachable data": (["--train", "no-one/nothing:train"], "no-one/nothing: no such file, and it cannot be loaded"),
    "output exists": (["--out", "there"], "there: exists already; choose another --out or remove it"),
    "output is here": (["--out", "."], ".: exists already; choose another --out or remove it"),
    "another's folder": (
        ["--out", "taken"],
        "taken.partial: the run needs this folder, and it holds something else",
    ),
    "nothing to resume": (["--resume"], "no interrupted run to resume"),
}


@pytest.fixture
def bad_files(tmp_path):
    """What users hand in."""
    (tmp_path / "empty.csv").touch()
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    (tmp_path / "label.csv").write_text("text,label\nfine,meh\n")
    (tmp_path / "one.csv").write_text("text,label\nfine,1\nfine too,positive\n")
    (tmp_path / "latin.csv").write_bytes("text,label\ncafé,1\n".encode("latin-1"))
    (tmp_path / "nan.jsonl").write_text('{"text": NaN, "label": 1}\n')
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "precious").touch()
    (tmp_path / "taken.partial").mkdir()
    (tmp_path / "taken.partial" / "precious").touch()
    return tmp_path


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_input_to_train_is_one_line(lorasent, bad_files, case):
    """Exit 2, one clear line, nothing lost, nothing left behind."""
    arguments, message = BAD_TRAINING[case]
    before = sorted(bad_files.rglob("*"))
    one_line(lorasent("train", *(["--out", "new"] if "--out" not in arguments else []), *arguments), message)
    assert sorted(path for path in bad_files.rglob("*") if "hf" not in path.relative_to(bad_files).parts) == before


def test_a_wrong_base_hash_is_one_line(lorasent, small_adapter, tmp_path):
    """An adapter whose base is another one today."""
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
        (["ADAPTER", "caf\udce9"], b"", "arguments, row 1: expected UTF-8, found '\\udce9' in it"),
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
    """Exit 2 and one clear line."""
    arguments = [small_adapter if argument == "ADAPTER" else argument for argument in arguments]
    one_line(lorasent("predict", *arguments, stdin=stdin), message)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(lorasent, process, small_recipe, small_adapter, tmp_path):
    """A checkpoint or an output that cannot be written is one line; what was there stays, and the run goes on later."""
    full = process("train", small_recipe, "--out", "mine", largest_file=20_000)
    assert full.returncode == 2, full.stderr
    assert "mine.partial: cannot be written:" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    assert lorasent("train", small_recipe, "--out", "mine", "--resume").returncode == 0
    assert (tmp_path / "mine" / "adapter_model.safetensors").read_bytes() == (
        small_adapter / "adapter_model.safetensors"
    ).read_bytes()
    (tmp_path / "out.jsonl").write_text("what was there")
    one_line(process("predict", small_adapter, "fine " * 600, "--output", "out.jsonl", largest_file=1000), "File too large")
    assert (tmp_path / "out.jsonl").read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "hf") == ["mine", "out.jsonl"]


def test_usage_errors_exit_2(lorasent):
    """Unknown commands and options are typer's to explain, with the same code."""
    assert lorasent("trian").returncode == 2
    assert lorasent("train", "--nonsense").returncode == 2


def test_empty_reviews_are_left_out_and_named(lorasent, small_adapter, tmp_path):
    """By predict and evaluate, on standard error, with the rows of the source; without the option the error names it."""
    (tmp_path / "in.csv").write_text('text,label\nfine,0\n" ",1\nfine,1\n')  # one of them is a mistake
    for command in (["predict", small_adapter, "--input"], ["evaluate", small_adapter, "--json", "--errors", "--data"]):
        done = lorasent(*command, "in.csv", "--skip-empty")
        assert done.returncode == 0, done.stderr
        assert "in.csv: column text: 1 of 3 rows are empty and left out: row 2\n" in done.stderr
    found = json.loads(done.stdout)
    rows = [row for one in found["errors"]["by_slice"] if one["column"] == "truncated" for row in one["worst"]]
    assert found["n"] == 2
    assert rows == [one["row"] for one in found["errors"]["worst"]]
    assert {(one["row"], one["line"]) for one in found["errors"]["worst"]} <= {(1, 2), (3, 4)}
    one_line(lorasent("evaluate", small_adapter, "--data", "in.csv"), "row 2: expected a text, found nothing; leave such rows out")


@pytest.mark.slow
def test_a_run_and_a_verdict_leave_empty_reviews_out(lorasent, small_recipe, small_adapter, tmp_path):
    """train and gate, by the option or by the key that a recipe and a policy have for it."""
    rows = [("fine", 1), ("", 1), ("dull", 0)] * 4
    (tmp_path / "in.jsonl").write_text(
        "".join(
            json.dumps({"text": f"{text} {row}" if text else "", "label": label}) + "\n" for row, (text, label) in enumerate(rows)
        )
    )
    data = ["--train", "in.jsonl", "--validation", "embedded:validation", "--set", "data.sample=8", "--out", "mine"]
    one_line(lorasent("train", small_recipe, *data), "in.jsonl: column text, row 2: expected a text, found nothing")
    done = lorasent("train", small_recipe, *data, "--skip-empty")
    assert done.returncode == 0, done.stderr
    assert "in.jsonl: column text: 4 of 12 rows are empty and left out: row 2, 5, 8, 11\n" in done.stderr
    assert json.loads((tmp_path / "mine" / "lorasent.json").read_text())["recipe"]["data"]["skip_empty"] is True
    (tmp_path / "gate.toml").write_text('[quality]\n[data]\ntest = "in.jsonl"\n')
    verdict = ["gate", small_adapter, "--baseline", small_adapter, "--json"]
    assert lorasent(*verdict).returncode == 4
    done = lorasent(*verdict, "--skip-empty")
    assert "4 of 12 rows are empty and left out" in done.stderr
    assert "data" in json.loads(done.stdout)["evidence"]


def test_lines_of_json_are_utf_8_whatever_the_console_is(lorasent, small_recipe, small_adapter, tmp_path, monkeypatch):
    """Here one of ASCII; doctor, too, says all that it knows."""
    (tmp_path / "in.csv").write_text("text,label\ngrößer 映画,1\ndull,0\n", "utf-8")
    ways = ["--train", "in.csv", "--set", "data.sample=2", "--set", "augmentation.typos=0.1"]
    for command in (["predict", small_adapter, "--input", "in.csv"], ["augment", small_recipe, *ways]):
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "ascii"))
        done = lorasent(*command)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert "größer 映画" in {row.get("original", row["text"]) for row in rows}
    assert "embedded base 53aa51172d14… (as pinned)" in lorasent("doctor").stdout


@pytest.mark.parametrize("broken", ["metadata", "torch", "scoring", "everything"])
def test_doctor_tells_each_row_on_its_own(lorasent, monkeypatch, broken):
    """A package that is missing, or that falls over, costs its own rows."""

    def fall(*_, **__):
        raise ValueError("fell over\nat length")

    if broken in ("metadata", "everything"):
        monkeypatch.setattr("importlib.metadata.version", fall)
    if broken in ("torch", "everything"):
        monkeypatch.setitem(sys.modules, "torch", None)
    if broken in ("scoring", "everything"):
        monkeypatch.setattr("lorasent.adapter.base.find", fall)
        monkeypatch.setattr("lorasent.scoring.scorer.uses_bf16", fall)
    done = lorasent("doctor")
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.replace("embedded base", "embedded_base").splitlines())
    assert list(rows) == [
        "lorasent",
        "torch",
        "transformers",
        "peft",
        "datasets",
        "python",
        "processor",
        "onednn",
        "bf16",
        "gpu",
        "embedded_base",
        "hub",
    ]
    assert rows["python"] == platform.python_version()
    assert (rows["datasets"] == "no: fell over") is (broken in ("metadata", "everything"))
    assert rows["gpu"].startswith("no: import of torch halted") is (broken in ("torch", "everything"))
    assert (rows["embedded_base"] == "no: fell over") is (broken in ("scoring", "everything"))
