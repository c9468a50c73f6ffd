"""Training in several processes: the adapter of one process, one writer, one message; what dies is resumed."""

import functools
import importlib
import json
import os
import shutil
import signal
from importlib.metadata import entry_points

import pytest
import torch
from safetensors.torch import load_file

from lorasent.adapter.manifest import read as read_manifest
from lorasent.adapter.manifest import read_json
from lorasent.errors import DeviceError, TrainingError
from lorasent.files import sha256
from lorasent.recipe.recipe import Recipe
from lorasent.scoring.scorer import load
from lorasent.training import ranks
from lorasent.training.run import read_splits
from lorasent.training.train import train
from tests.support.launched import launch, launch_by_shell, messages

STEPS = 6
"""Steps of an epoch of the small recipe."""

ACCELERATE = ("accelerate", "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no")
ACCELERATE += ("--dynamo_backend", "no", "--main_process_port", "0")

PLAIN = ["lora.dropout=0", "base.dropout=0", "training.label_smoothing=0.1"]
"""Without dropout, of which each process draws its own, processes differ from one by rounding alone."""

TOLERANCE = 1e-4
"""Largest difference of a weight: 18 steps of Adam, whose steps are 1e-2, turn gradients that differ by 1e-7 into this."""


def options(settings):
    """Settings as options of the command line."""
    return [word for setting in settings for word in ("--set", setting)]


def require_same(one, two):
    """Weights of two adapters, and their figures, are equal but for rounding."""
    first, second = (load_file(path / "adapter_model.safetensors") for path in (one, two))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")
    tables = [[list(row.values()) for row in read_json(path / "lorasent.json")["epochs"]] for path in (one, two)]
    assert tables[1] == [pytest.approx(row, abs=TOLERANCE) for row in tables[0]]


UNEVEN = ["training.batch_size=5"]  # shares of 3 and 2 reviews, then 2 and 2
IDLE = ["training.batch_size=23", "training.ema_decay=0.8", "lora.lora_plus_ratio=4", 'training.schedule="cosine"']
IDLE += ["augmentation.share=0.7", "augmentation.typos=0.2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "launcher"),
    [(UNEVEN, {}), (UNEVEN, {"launcher": ACCELERATE}), (IDLE, {})],
    ids=["uneven batches", "accelerate launch", "a last batch of one review"],
)
def test_two_processes_train_the_adapter_of_one(small_recipe, tmp_path, settings, launcher):
    """Each batch counts by its reviews, however they divide; the average, LoRA+ and augmentation are the same run, too."""
    one = train(Recipe.read(small_recipe, [*PLAIN, *settings]), tmp_path / "one").path
    done = launch("train", small_recipe, "--out", "two", *options([*PLAIN, *settings]), folder=tmp_path, **launcher)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Best epoch: ") == 1
    assert "Processes: 2, which share each batch of " in done.stderr
    require_same(one, tmp_path / "two")
    assert read_json(tmp_path / "two" / "lorasent.json")["processes"] == 2


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_resumes_to_the_same_bits(small_recipe, tmp_path):
    """With dropout. The other process says so in one line. In one process the run resumes, too.

    Of the whole run: the first process alone writes, and each validation review is answered once in an epoch.
    """
    (tmp_path / "record").mkdir()
    spy = {"folder": tmp_path, "module": "tests.support.launched"}
    whole = launch("train", small_recipe, "--out", "whole", **spy, RECORD=str(tmp_path / "record"))
    assert whole.returncode == 0, whole.stderr
    require_one_writer_and_each_review_once(small_recipe, tmp_path)

    killed = launch("train", small_recipe, "--out", "two", **spy, KILL=f"1:{STEPS + 3}")
    assert killed.returncode != 0
    (message,) = messages(killed)
    assert "process 0 of 2 (counted from 0) cannot reach the others: " in message
    assert message.endswith("; if one is gone, start all again with --resume")
    assert (tmp_path / "two.partial" / f"checkpoint-{STEPS}" / "complete").is_file()
    shutil.copytree(tmp_path / "two.partial", tmp_path / "one.partial")

    resumed = launch("train", small_recipe, "--out", "two", "--resume", folder=tmp_path)
    assert "Resumed after epoch 1\n" in resumed.stderr
    assert sha256(tmp_path / "two" / "adapter_model.safetensors") == sha256(tmp_path / "whole" / "adapter_model.safetensors")
    assert (tmp_path / "two" / "lorasent.json").read_bytes() == (tmp_path / "whole" / "lorasent.json").read_bytes()

    epochs = train(Recipe.read(small_recipe), tmp_path / "one", resume=True).epochs
    assert vars(epochs[0]) == read_json(tmp_path / "two" / "lorasent.json")["epochs"][0]
    losses = [row["training_loss"] for row in read_json(tmp_path / "two" / "lorasent.json")["epochs"]]
    assert [row.training_loss for row in epochs] == pytest.approx(losses, abs=0.05)  # other masks in epochs 2 and 3
    assert load(tmp_path / "one")
    assert not [*tmp_path.glob("*.partial")]


def require_one_writer_and_each_review_once(recipe, folder):
    """By the records of both processes."""
    lines = [[json.loads(line) for line in (folder / "record" / f"{rank}.jsonl").read_text().splitlines()] for rank in (0, 1)]
    written = [[what for kind, what in each if kind == "file" and "whole" in what] for each in lines]
    assert any("lorasent.json" in path for path in written[0])
    assert written[1] == []
    scored = [[what for kind, what in each if kind == "scored" and len(what) == 12] for each in lines]
    assert [len(each) for each in scored] == [3, 3]
    encoder = load(folder / "whole").encoder
    validation = sorted(list(map(int, ids)) for ids in encoder.encode(read_splits(Recipe.read(recipe))[1].texts))
    assert [sorted([*first, *second]) for first, second in zip(*scored, strict=True)] == [validation] * 3


@pytest.mark.slow
def test_divergence_ends_all_processes_with_one_message(small_recipe, tmp_path):
    """And no file is left, as with one process."""
    settings = ["training.learning_rate=0.9", "training.weight_decay=1e30"]
    done = launch("train", small_recipe, "--out", "two", *options(settings), folder=tmp_path)
    assert done.returncode != 0
    (message,) = messages(done)
    assert "training loss is nan at step 2 of 18: stopped; " in message
    assert [*tmp_path.iterdir()] == []


ONE_LINE = {
    "an adapter is there": ("--out taken", "taken: exists already; choose another --out or remove it"),
    "no such option": ("--bogus", "No such option: --bogus"),
    "a batch too small": ("--set training.batch_size=1", "training.batch_size is 1: too small for 2 processes, which share it"),
    "other data": (
        "--train $RANK.jsonl",
        "process 1 has another recipe and train_sha256 than the first; give all of them the same",
    ),
    "one process alone fails": ("--train $( ((RANK)) && echo nowhere || echo 0).jsonl", "nowhere.jsonl: no such file or folder"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), ONE_LINE.values(), ids=ONE_LINE)
def test_an_error_is_told_once(small_recipe, tmp_path, arguments, message):
    """Whether all processes find it or one of them."""
    (tmp_path / "taken").mkdir()
    for rank in (0, 1):
        rows = [{"text": f"film {rank} {number}", "label": number % 2} for number in range(24)]
        (tmp_path / f"{rank}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = launch_by_shell(arguments, small_recipe, tmp_path)
    assert done.returncode != 0
    assert done.stderr.count(message) == 1, done.stderr
    assert "cannot reach" not in done.stderr
    assert not (tmp_path / "adapters" / "small").exists()


@pytest.mark.slow
def test_a_host_without_the_run_cannot_resume(small_recipe, tmp_path):
    """The process there says what to do."""
    killed = launch("train", small_recipe, "--out", "0", folder=tmp_path, module="tests.support.launched", KILL=f"0:{STEPS + 1}")
    assert (killed.returncode != 0, len(messages(killed))) == (True, 1)
    done = launch_by_shell("--resume --out $RANK", small_recipe, tmp_path)
    (message,) = messages(done)
    assert message.endswith("1.partial: process 1 does not see the run; hosts that resume must share this folder")


def test_torchrun_is_the_module_that_the_tests_start():
    """So `python -m torch.distributed.run` is torchrun."""
    (torchrun,) = entry_points(group="console_scripts", name="torchrun")
    assert torchrun.value == "torch.distributed.run:main"


def test_each_row_is_in_one_share():
    """Whatever the number of rows and processes."""
    for size in (1, 2, 3, 8):
        for rows in (range(0), range(1), range(7), range(16)):
            shares = [rows[ranks.Ranks(rank, size).share] for rank in range(size)]
            assert sorted(row for share in shares for row in share) == [*rows]
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_knows_its_place(monkeypatch):
    """By the launcher's variables, all of them; inside `unnoticed` they are hidden, and nothing else is."""
    for name in ranks.RENDEZVOUS:
        monkeypatch.delenv(name, raising=False)
    assert ranks.of_environment() == ranks.Ranks()
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert ranks.of_environment() == ranks.Ranks()
    monkeypatch.setenv("MASTER_PORT", "1")
    assert ranks.of_environment() == ranks.Ranks(1, 4)
    with ranks.unnoticed():
        assert ranks.of_environment() == ranks.Ranks()
        assert ({*os.environ} & {"RANK", "ACCELERATE_USE_CPU"}, os.environ["MASTER_PORT"]) == (set(), "1")
    assert ranks.of_environment() == ranks.Ranks(1, 4)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "device cuda:1: not here; torch 2.* finds cuda, cuda:0, cpu; choose one of these"),
        ("cuda:0", "device cuda:0: several processes train on cpu, or on cuda, where each takes a GPU of its own; choose one"),
        ("mps", "device mps: several processes train on cpu, or on cuda, "),
    ],
)
def test_each_process_needs_a_device_of_its_own(monkeypatch, device, message):
    """The second process of a host takes its second GPU."""
    monkeypatch.setattr("lorasent.devices.available", lambda: ["cuda", "cuda:0", "cpu"])
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(DeviceError, match=message.replace("2.*", r"2\.\S+")):
        ranks._join(ranks.Ranks(3, 4), device)


SECOND = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
"""A launcher's variables of the second of two processes, which nobody meets."""


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"RANK": "2"}, {"WORLD_SIZE": ""}, {"RANK": "-1"}, {"MASTER_PORT": "65536"}])
def test_variables_that_no_launcher_sets_are_one_line(lorasent, monkeypatch, wrong):
    """Of every command, before anything is waited for."""
    for name, value in {**SECOND, **wrong}.items():
        monkeypatch.setenv(name, value)
    for command in ("train", "sweep"):
        done = lorasent(command)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "{}={}".format(*next(iter(wrong.items()))) in done.stderr
        assert "start with torchrun, or unset these variables to train in one process" in done.stderr


def test_a_meeting_that_failed_is_not_waited_for_again(monkeypatch):
    """Neither to join the others nor to say why the process ends."""
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    attempts = []

    def alone(*_, **__):
        attempts.append(1)
        raise RuntimeError("nobody came")

    monkeypatch.setattr(importlib.import_module("torch.distributed.rendezvous"), "rendezvous", alone)
    before = signal.getsignal(signal.SIGTERM)
    for cached in (ranks._store, ranks.fails_first):
        cached.cache_clear()
    try:
        message = r"process 1 of 2 \(counted from 0\) cannot reach the others: nobody came"
        with pytest.raises(TrainingError, match=message), ranks.joined("cpu"):
            pass
        assert ranks.fails_first()
        assert attempts == [1]
    finally:
        signal.signal(signal.SIGTERM, before)
        for cached in (ranks._store, ranks.fails_first):
            cached.cache_clear()


def test_other_commands_are_for_one_process(lorasent, monkeypatch):
    """All processes would write the same files."""
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks, "fails_first", lambda: True)
    done = lorasent("sweep")
    assert done.returncode == 2
    assert done.stderr == "lorasent: sweep: runs in one process; of what torchrun starts, only train shares its work\n"


def test_a_process_that_can_ask_nobody_says_why_it_fails(monkeypatch):
    """The store went with the process that kept it. SIGTERM does not cut its message short."""

    class Gone:
        def add(self, *_):
            raise RuntimeError("Connection reset by peer")

    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks, "_store", functools.cache(lambda *_: Gone()))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert ranks.fails_first.__wrapped__()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_one_process_is_recorded_as_before(small_adapter):
    """The manifest names the number of processes where there are several."""
    assert "processes" not in read_json(small_adapter / "lorasent.json")
    assert read_manifest(small_adapter)
