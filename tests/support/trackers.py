"""What trackers' own libraries read of the runs in their stores on this machine."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def _events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """The steps and values of a figure in a log of TensorBoard."""
    return [(event.step, event.value) for event in _events(folder).Scalars(name)]


def texts(folder: Path, name: str) -> str:
    """The text of a name in a log of TensorBoard."""
    return "\n".join(event.tensor_proto.string_val[0].decode() for event in _events(folder).Tensors(f"{name}/text_summary"))


def mlflow_run(store: str, *figures: str) -> tuple[Any, dict[str, list[tuple[int, float]]], dict[str, str]]:
    """The last run in a store of MLflow, the steps and values of some of its figures, and its files."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    run = client.search_runs(["0"], order_by=["attributes.start_time DESC"], max_results=1)[0]
    history = {
        name: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)) for name in figures
    }
    names = [entry.path for entry in client.list_artifacts(run.info.run_id)]
    files = {name: Path(client.download_artifacts(run.info.run_id, name)).read_text("utf-8") for name in names}
    return run, history, files


def offline_run(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any], list[str]]:
    """The parameters, the rows of figures, the summary and the files of the only offline run of Weights & Biases in a folder.

    The library's service writes on for a moment after the run has ended: its last record is awaited.
    """
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    config, history, summary, files = {}, [], {}, []
    for _ in range(600):
        records = [wandb_internal_pb2.Record.FromString(content) for content in _records(path.read_bytes())]
        if records and records[-1].WhichOneof("record_type") == "exit":
            break
        time.sleep(0.1)
    for record in records:
        for update in (*record.run.config.update, *record.config.update):
            config[update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
        if record.history.item:
            history.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item})
        for update in record.summary.update:
            summary[update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
        files += [entry.path for entry in record.artifact.manifest.contents]
    return config, history, summary, files


def _records(log: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB behind a header of seven bytes: in blocks of 32 KiB, parts with checksum, length, kind."""
    place, record = 7, b""
    while place + 7 <= len(log):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", log, place)
        record += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""
