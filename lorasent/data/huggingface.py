"""Data sets of the library `datasets` -> blocks of columns: on the hub, in its cache, or in a folder that `save_to_disk` wrote.

A hub data set is OWNER/NAME, or OWNER/NAME/CONFIGURATION. Only the named split is fetched. Offline it is read from the cache.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lorasent import hub
from lorasent.data.columns import ROWS_PER_BLOCK, Choice, Columns, chosen, of_features, reading, with_names
from lorasent.errors import DataError, LorasentError


def is_saved(path: str) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any(Path(path, name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def read_saved(path: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    """The blocks of a saved data set. Raises DataError if it cannot be read or lacks the split."""
    import datasets
    import pyarrow as pa

    with reading(path, "not a readable saved data set"):
        for file in [*Path(path).glob("*.arrow"), *Path(path).glob(f"{split}/*.arrow")][:1]:
            with pa.memory_map(str(file)) as table:
                chosen(pa.ipc.open_stream(table).schema.names, path)  # `datasets` would rename columns of the same name
        loaded = datasets.load_from_disk(path)
    yield from _blocks(loaded, path, split, choice)


def read_hub(name: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    """The blocks of a hub data set. Raises DataError if it cannot be loaded, or lacks the configuration or the split."""
    import datasets

    if hub.is_offline():
        return _blocks(_cached(name, split), name, split, choice)
    try:
        builder = datasets.load_dataset_builder(*_repository(name))
        if builder.config.data_files:
            _require(split, builder.config.data_files, name)
            builder = _only(builder, str(split))
        builder.download_and_prepare()
        loaded = builder.as_dataset()
    except LorasentError:
        raise
    except Exception as error:  # the hub's client raises its own and other libraries' errors
        reason = " ".join(str(error).splitlines()[:2]) or type(error).__name__  # the second line names the configurations
        raise DataError(
            f"{name}: no such file, and it cannot be loaded as a hub data set, OWNER/NAME[/CONFIGURATION]:SPLIT: {reason}"
        ) from None
    return _blocks(loaded, name, split, choice)


def _repository(name: str) -> tuple[str, str | None]:
    """A hub data set's name, which has at most two parts, and its configuration: the rest."""
    parts = name.split("/")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None


def _only(builder: Any, split: str) -> Any:
    """A builder of the same data set with one split: `load_dataset` fetches all splits, even if one is named."""
    info, files = builder.info.copy(), builder.config.data_files
    info.splits = None  # a builder checks that it finds every split that it knows
    return type(builder)(
        dataset_name=builder.dataset_name,
        config_name=builder.config.name,
        repo_id=builder.repo_id,
        hash=builder.hash,
        base_path=builder.base_path,
        info=info,
        data_files=type(files)({split: files[split]}),
    )


def _cached(name: str, split: str | None) -> Any:
    """A hub data set from the cache, whole or only this split. `load_dataset` would ask the hub first."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase
    from datasets.packaged_modules.cache.cache import Cache

    (repository, configuration), source = _repository(name), f"{name}:{split or 'SPLIT'}"
    *owner, last = repository.split("/")
    folder = Path(config.HF_DATASETS_CACHE, "___".join([*owner, camelcase_to_snakecase(last)]))
    newest: dict[str, tuple[str, ...]] = {}  # by configuration, the last parts of the newest folder that holds the split
    with reading(source, f"damaged in the cache of hub data sets; remove {folder} and fetch the data again"):
        for file in sorted(folder.glob("*/*/*/dataset_info.json"), key=lambda file: file.stat().st_mtime):
            info = json.loads(file.read_text("utf-8"))
            if configuration in (None, info["config_name"]) and (split is None or split in info["splits"]):
                newest[info["config_name"]] = file.parts[-4:-1]
        if len(newest) == 1:
            ((config_id, version, digest),) = newest.values()
            return Cache(repo_id=repository, dataset_name=last, config_name=config_id, version=version, hash=digest).as_dataset()
    if newest:
        raise DataError(f"{source}: has several configurations; name one, as in {name}/{next(iter(newest))}:{split or 'SPLIT'}")
    raise DataError(
        f"{source}: no such file, and not in the cache of hub data sets (nothing of it in {config.HF_DATASETS_CACHE}). A verdict "
        f"is made offline: fetch the data once with lorasent evaluate ADAPTER --data {source}, or give a file"
    )


def _require(split: str | None, splits: Iterable[Any], source: str) -> None:
    names = [str(name) for name in splits]
    if split not in names:
        raise DataError(f"{source}: name one of the splits {', '.join(names)}, as in {source}:{next(iter(names), 'train')}")


def _blocks(loaded: Any, source: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    if isinstance(loaded, dict):
        _require(split, loaded, source)
        loaded = loaded[split]
    elif split is not None:
        raise DataError(f"{source}:{split}: the saved data set has no splits; name the folder alone")
    names = chosen(loaded.column_names, source, choice)
    if choice:
        loaded = loaded.select_columns(names)
    classes = of_features(loaded.features.to_dict())
    with reading(source, "unreadable rows"):
        for block in loaded.iter(ROWS_PER_BLOCK):
            yield with_names(block, classes)
