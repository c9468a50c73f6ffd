"""predict into a folder: its options, its messages."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from lorasent.bulk import engines
from lorasent.scoring import evidence
from tests.cli.processes import one_line


@pytest.fixture
def here(monkeypatch):
    """Both engines work in this process, and hear how many workers there are."""
    heard = []

    def work(function, items, workers):
        heard.append(workers)
        return map(function, items)

    for name in engines.ENGINES:
        monkeypatch.setitem(engines.ENGINES, name, work)
    monkeypatch.setattr(engines, "require_ray", lambda: None)
    return heard


def test_a_folder_is_written_and_gone_on_with(lorasent, small_adapter, tmp_path, here):
    """With the rows of every file that a glob names; the second time nothing is scored."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text,key\nfine,1\npoor,2\n")
    asked = ["predict", small_adapter, "--input", "*.csv", "--output", "out/", "--id-column", "key", "--keep-text"]
    done = lorasent(*asked, "--shard-rows", 1)
    assert re.fullmatch(
        r"Precision: (fp32|bf16), on cpu \(evaluate and gate: fp32\)\nWritten: out: 4 reviews \(\d \w+(, \d \w+)?\)\n", done.stderr
    )
    assert pq.read_table(tmp_path / "out").select(["id", "text"]).num_rows == 4
    assert len(json.loads((tmp_path / "out" / "_SUCCESS.json").read_text())["shards"]) == 4
    done = lorasent(*asked, "--shard-rows", 1, "--precision", "fp32")
    assert "4 of its 4 shards were there already" in done.stderr or "another adapter" in done.stderr  # where auto is bf16
    assert len(here) == 1


def test_options_of_ray_say_how_many_workers_there_are(lorasent, small_adapter, tmp_path, here):
    """And what each takes."""
    (tmp_path / "a.csv").write_text("text\nfine\n")
    asked = ["predict", small_adapter, "--input", "a.csv", "--engine", "ray", "--output"]
    assert lorasent(*asked, "out", "--actors", 3, "--cpus-per-actor", 2).returncode == 0
    assert here == [engines.Workers(3, 2, 0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "out/"], "predict: a folder is made of files: name them with --input"),
        (["--input", "a.csv", "--engine", "dask", "--output", "out/"], "--engine dask: allowed are local, ray"),
        (["--input", "a.csv", "--actors", "2"], "--actors: needs a folder to write: --output DIR/"),
        (["--input", "a.csv", "--output", "out.jsonl", "--engine", "ray"], "--engine: needs a folder to write"),
        (["--input", "a.csv", "--gpus-per-actor", "1"], "--gpus-per-actor: needs a folder to write"),
        (["--input", "a.csv", "--output", "out/", "--gpus-per-actor", "1"], "--gpus-per-actor: needs --engine ray"),
        (
            ["--input", "a.csv", "--output", "out/", "--engine", "ray", "--device", "cpu"],
            "--engine ray takes --gpus-per-actor instead",
        ),
        (["--input", "none/*.csv", "--output", "out/"], "none/*.csv: no such file"),
        (["--input", "a.csv", "--output", "out/", "--text-column", "body"], "a.csv: no text column: expected body, found text"),
    ],
)
def test_what_cannot_be_done_is_one_line(lorasent, small_adapter, tmp_path, here, arguments, message):
    """It says what was wanted."""
    (tmp_path / "a.csv").write_text("text\nfine\n")
    one_line(lorasent("predict", small_adapter, *arguments, "--precision", "fp32"), message)


def test_without_ray_one_line_says_what_to_install(lorasent, small_adapter, tmp_path, monkeypatch):
    """Before anything is read."""
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    done = lorasent("predict", small_adapter, "--input", "none.csv", "--output", "out/", "--engine", "ray")
    one_line(done, "pip install 'lorasent[ray]'")


def test_an_engine_records(lorasent, small_adapter, tmp_path, here):
    """What the adapter answers without one, each list of texts under its own hash, and once for all lists."""
    (tmp_path / "a.csv").write_text("text,label\nfine,Positive\npoor,Negative\n")
    (tmp_path / "gate.toml").write_text('[data]\ntest = "a.csv"\n[quality]\n[behaviour]\nmargin = 0.1\n')
    asked = ["record", small_adapter, "--policy", "gate.toml", "--out"]
    assert lorasent(*asked, "plain").returncode == 0
    assert lorasent(*asked, "engine", "--engine", "ray", "--actors", 2).returncode == 0
    assert here == [engines.Workers(2, 1, 0)]
    plain, found = (evidence.RecordedSubject(tmp_path / name) for name in ("plain", "engine"))
    assert plain.made_on == found.made_on
    assert plain.tensors.keys() == found.tensors.keys()
    assert len(plain.tensors) == 4
    for name, values in plain.tensors.items():
        np.testing.assert_allclose(found.tensors[name], values, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "dask"], "--engine dask: allowed are local, ray"),
        (["--actors", "2"], "--actors: needs --engine local or --engine ray"),
    ],
)
def test_options_of_a_record_that_do_not_fit_are_one_line(lorasent, small_adapter, tmp_path, arguments, message):
    """And nothing is written."""
    (tmp_path / "a.csv").write_text("text,label\nfine,Positive\npoor,Negative\n")
    (tmp_path / "gate.toml").write_text('[data]\ntest = "a.csv"\n[quality]\n')
    one_line(lorasent("record", small_adapter, "--out", "out", *arguments), message)
    assert not (tmp_path / "out").exists()
