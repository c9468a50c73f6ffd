"""Data sets of the library `datasets`: from the hub, from its cache, and their class labels."""

import json
import os
import subprocess
import sys

import datasets
import pytest
from datasets.packaged_modules.json.json import Json

from lorasent.data.reviews import read
from lorasent.errors import DataError
from lorasent.hub import offline
from tests.data.writing import IDS, LABELS, TEXTS, write_jsonl
from tests.support.hub import serving


def test_class_labels_are_read_by_name(tmp_path):
    """A data set that numbers its labels in another order is read by the names."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0]}, features=features).save_to_disk(tmp_path / "saved")
    assert read(str(tmp_path / "saved"), LABELS).labels.tolist() == IDS


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The library's cache with the hub data set some-one/films; a request to the hub fails the test."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    for function in ("load_dataset", "load_dataset_builder"):
        monkeypatch.setattr(f"datasets.{function}", lambda *_, **__: pytest.fail("the hub was asked"))
    write_jsonl(tmp_path / "reviews.jsonl")
    builder = Json(
        cache_dir=str(tmp_path), dataset_name="films", data_files={"test": [str(tmp_path / "reviews.jsonl")]}, hash="abc"
    )
    builder.download_and_prepare()
    (configured,) = (tmp_path / "films").iterdir()
    (tmp_path / "some-one___films").mkdir()
    configured.rename(tmp_path / "some-one___films" / "default")


def test_offline_a_hub_data_set_is_read_from_the_cache(hub_cache):
    """Offline, a data set that was fetched before gives the same reviews."""
    with offline():
        reviews = read("some-one/films:test", LABELS)
    assert (reviews.texts, reviews.labels.tolist()) == (TEXTS, IDS)


def test_offline_a_hub_data_set_that_is_not_cached_says_what_to_do(hub_cache):
    """The error is one line with the source and how to fetch it; the hub is not asked."""
    missing = "no-one/nothing:test: no such file, and not in the cache of hub data sets"
    remedy = "fetch the data once with lorasent evaluate ADAPTER --data no-one/nothing:test, or give a file"
    with offline(), pytest.raises(DataError, match=rf"\A{missing}.*{remedy}\Z"):
        read("no-one/nothing:test", LABELS)


def test_a_damaged_cache_says_what_to_do(hub_cache, tmp_path):
    """The error names the folder to remove."""
    (info,) = tmp_path.rglob("dataset_info.json")
    info.write_text("{")
    with (
        offline(),
        pytest.raises(DataError, match=r"^some-one/films:test: damaged in the cache .*; remove .*some-one___films and "),
    ):
        read("some-one/films:test", LABELS)


@pytest.mark.slow
def test_only_the_named_split_of_a_hub_data_set_is_fetched(tmp_path):
    """Of the named configuration, too; offline the split is in the cache. Errors list the splits and configurations."""
    features = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    card = {}
    for configuration in ("cola", "sst2"):
        (tmp_path / "glue" / configuration).mkdir(parents=True)
        for split in ("train", "validation"):
            made = datasets.Dataset.from_dict({"sentence": [configuration, split], "label": [0, 1]}, features=features)
            made.to_parquet(tmp_path / "glue" / configuration / f"{split}-00000-of-00001.parquet")
            card.setdefault(configuration, []).append({"split": split, "path": f"{configuration}/{split}-*"})
    card = json.dumps({"configs": [{"config_name": name, "data_files": files} for name, files in card.items()]})
    (tmp_path / "glue" / "README.md").write_text(f"---\n{card}\n---\n")
    script = """
import json
from lorasent.data.reviews import read
from lorasent.errors import DataError
from lorasent.hub import offline

def outcome(source):
    try:
        reviews = read(source, ("Negative", "Positive"))
    except DataError as refused:
        return str(refused)
    return [reviews.texts, reviews.labels.tolist()]

found = {source: outcome(f"nyu-mll/glue{source}") for source in ("/sst2:validation", "/sst2:test", "/mrpc:train", ":train")}
with offline():
    found["offline"], found["not fetched"] = outcome("nyu-mll/glue/sst2:validation"), outcome("nyu-mll/glue/sst2:train")
print(json.dumps(found))
"""
    with serving(tmp_path / "glue") as (address, fetched):
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["/sst2:validation"] == found["offline"] == [["sst2", "validation"], [1, 0]]
    assert {name for name in fetched if name.endswith(".parquet")} == {"validation-00000-of-00001.parquet"}
    assert found["/sst2:test"] == "nyu-mll/glue/sst2: name one of the splits train, validation, as in nyu-mll/glue/sst2:train"
    assert found["/mrpc:train"].endswith("BuilderConfig 'mrpc' not found. Available: ['cola', 'sst2']")
    assert found[":train"].endswith("Please pick one among the available configs: ['cola', 'sst2']")
    assert found["not fetched"].startswith(
        "nyu-mll/glue/sst2:train: no such file, and not in the cache of hub data sets (nothing of it"
    )
    assert found["not fetched"].endswith("with lorasent evaluate ADAPTER --data nyu-mll/glue/sst2:train, or give a file")
