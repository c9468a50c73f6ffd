"""The commands train and augment: what they print and write, bad input in one line, interruption."""

import json
import re
import signal
import subprocess
import sys

import pytest

from lorasent.data.reviews import read
from tests.cli.processes import one_line
from tests.support.bases import LABELS


@pytest.mark.slow
def test_train_prints_each_step(lorasent, small_recipe, tmp_path):
    """It prints the data, the epoch table, the best epoch, sample reviews before and after, and what to do next."""
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
        "The adapter is in mine. Next:",
    ):
        assert part in shown
    assert "Stopped" not in shown
    assert shown.count("good god,thats the worst film") == 2
    rows = [line.split() for line in shown.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2"]
    assert json.loads((tmp_path / "mine" / "lorasent.json").read_text())["recipe"]["training"]["seed"] == 3


@pytest.mark.slow
def test_train_says_how_reviews_are_augmented(lorasent, small_recipe):
    """It names the augmentations and their strength, with an example from the first epoch."""
    ways = ["--set", "augmentation.share=0.75", "--set", "augmentation.synonyms=0.5", "--set", "augmentation.markup=0.5"]
    done = lorasent("train", small_recipe, "--out", "mine", "--set", "training.epochs=1", *ways)
    assert done.returncode == 0, done.stderr
    shown = done.stderr.splitlines()
    at = shown.index("Augmented: 75% of the training reviews, anew in each epoch: synonyms 0.5, markup 0.5")
    assert [line[:14] for line in shown[at + 1 : at + 3]] == ["  for example ", "  becomes     "]
    assert shown[at + 1][14:] != shown[at + 2][14:]


@pytest.mark.slow
def test_train_says_why_it_stopped_early(lorasent, small_recipe):
    """A line below the table says why, and which epoch was kept."""
    sets = ("training.epochs=9", "training.early_stopping_patience=2", "training.early_stopping_min_improvement=0.5")
    done = lorasent("train", small_recipe, "--out", "mine", *(word for value in sets for word in ("--set", value)))
    pattern = r"\n +3 .*\nStopped after epoch 3 of 9: no improvement over 0.5 for 2 epochs; kept epoch \d\nBest epoch"
    assert re.search(pattern, done.stderr)


@pytest.mark.slow
def test_an_option_replaces_the_base(lorasent, small_recipe, bases, tmp_path):
    """--base replaces the recipe's base and its pinned revision."""
    pinned = tmp_path / "pinned.toml"
    pinned.write_text(small_recipe.read_text().replace("labels =", 'revision = "abc"\nlabels ='))
    done = lorasent("train", pinned, "--out", "mine", "--base", bases("bert"), "--set", "training.epochs=1")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "mine" / "lorasent.json").read_text())["base"]["revision"] is None


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run_and_says_how_to_continue(lorasent, small_recipe, tmp_path):
    """SIGINT after an epoch: exit code 130, and the run is kept until --resume."""
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
    assert rest.splitlines()[-1].startswith("Interrupted. Continue after the last complete epoch with: lorasent train")
    assert rest.splitlines()[-1].endswith("--out mine --set training.epochs=200 --resume")
    assert "Traceback" not in rest
    again = lorasent("train", small_recipe, "--out", "mine", "--set", "training.epochs=200")
    one_line(again, "mine.partial: holds an interrupted run; continue with --resume, or remove it")
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
    "unreachable hub": (["--base", "no-one/nothing"], "no-one/nothing: no such directory, not in the cache, and not available"),
    "unreachable data": (["--train", "no-one/nothing:train"], "no-one/nothing: no such file, and it cannot be loaded"),
    "output exists": (["--out", "there"], "there: exists already; choose another --out or remove it"),
    "output is here": (["--out", "."], ".: exists already; choose another --out or remove it"),
    "another's folder": (["--out", "taken"], "taken.partial: the run needs this folder, and it holds something else"),
    "nothing to resume": (["--resume"], "no interrupted run to resume"),
}


@pytest.fixture
def bad_files(tmp_path):
    """A folder of bad data files and occupied outputs."""
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
    """Exit code 2; no file is lost or left behind."""
    arguments, message = BAD_TRAINING[case]
    before = sorted(bad_files.rglob("*"))
    one_line(lorasent("train", *(["--out", "new"] if "--out" not in arguments else []), *arguments), message)
    assert sorted(path for path in bad_files.rglob("*") if "hf" not in path.relative_to(bad_files).parts) == before


def test_augment_prints_the_first_epoch(lorasent, small_recipe, tmp_path):
    """Every training review has its augmented text, its label and its original; the output is a source of reviews."""
    done = lorasent("augment", small_recipe, "--set", "augmentation.typos=0.2")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    changed = sum(row["text"] != row["original"] for row in rows)
    assert len(rows) == 24
    assert 4 <= changed <= 20
    (tmp_path / "augmented.jsonl").write_text(done.stdout)
    assert read("augmented.jsonl", LABELS).counts(LABELS) == {"Negative": 12, "Positive": 12}


@pytest.mark.slow
def test_augment_tests_with_an_adapter_whether_labels_hold(lorasent, small_recipe, small_adapter):
    """A line for each augmentation; exit code 0 if labels hold, 3 if there are too few reviews."""
    augment = ["augment", small_recipe, "--set", "augmentation.typos=0.2"]
    arguments = [*augment, "--judge", small_adapter, "--data", "embedded:validation"]
    held = lorasent(*arguments, "--margin", "0.9")
    assert held.returncode == 0, held.stderr
    head, row = held.stdout.splitlines()
    assert head.startswith("way ")
    assert row.startswith("typos ")
    assert row.endswith(": holds")
    assert held.stderr == "Tested on 100 reviews of embedded:validation.\n"
    assert lorasent(*arguments, "--margin", "0").returncode in (1, 3)


@pytest.mark.parametrize("option", [("--data", "embedded:validation"), ("--margin", "0.1")])
def test_options_of_the_label_test_need_an_adapter(lorasent, small_recipe, option):
    """They are an error without --judge, not ignored."""
    done = lorasent("augment", small_recipe, "--set", "augmentation.typos=0.2", *option)
    one_line(done, f"{option[0]} is for the test with an adapter; add --judge")


def test_augment_needs_an_augmentation(lorasent, small_recipe):
    """A recipe without the table is an error that says how to write one."""
    one_line(
        lorasent("augment", small_recipe),
        "has no table [augmentation]; add one, or set an augmentation: --set augmentation.typos=0.02",
    )


@pytest.mark.slow
def test_a_full_disk_loses_nothing(lorasent, process, small_recipe, small_adapter, tmp_path):
    """A checkpoint or output that cannot be written is an error of one line; old files stay, and the run can continue."""
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


@pytest.mark.slow
def test_train_and_gate_leave_empty_reviews_out(lorasent, small_recipe, small_adapter, tmp_path):
    """By the option, and by the key of a recipe and of a policy."""
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
