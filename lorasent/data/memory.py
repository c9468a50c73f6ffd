"""Reviews in memory -> columns. Neither pandas nor `datasets` is imported for it: whoever gives such an object has imported it."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from lorasent.data.columns import Choice, Classes, Columns, chosen, of_features, reading, with_names
from lorasent.errors import DataError
from lorasent.text import shown, some

MEMORY = "reviews in memory"
"""The source of reviews in memory, in messages. Once they are read, the beginning of their hash follows it."""

FORMS = "a list of pairs (text, label) or of dicts, a dict of columns, a tuple (texts, labels), a Dataset or a pandas DataFrame"
"""What reviews in memory may be."""


def columns_of(data: Any, text: str = "text", label: str = "label") -> Columns:
    """The columns of reviews in memory, at least one row each; a key that a row lacks is None in it. `FORMS` lists what is taken.

    Pairs, and (texts, labels), have columns of the names `text` and `label`. Any iterable of rows is read, once. Raises DataError.
    """
    classes: Classes = {}
    data = _plain(data)
    if _is(data, "datasets", "Dataset", "IterableDataset"):
        classes = of_features(data.features.to_dict()) if data.features else {}
        with reading(MEMORY, "unreadable rows"):
            plain = data.with_format(None)
            data = plain[:] if _is(plain, "datasets", "Dataset") else list(plain)
    elif _is(data, "pandas", "DataFrame"):
        data = {name: data.iloc[:, place] for place, name in enumerate(chosen(map(str, data.columns), MEMORY))}
    elif isinstance(data, tuple) and len(data) == 2 and not any(isinstance(part, str | bytes | Mapping) for part in data):
        data = dict(zip((text, label), data, strict=True))
    if not isinstance(data, Iterable) or isinstance(data, str | bytes | set | frozenset):
        found = f"{shown(data)!r} ({type(data).__name__})"
        raise DataError(f"expected a source of reviews as a str or a Path, found {found}; in memory, reviews are {FORMS}")
    table = _of_columns(data) if isinstance(data, Mapping) else _of_rows(data, text, label)
    chosen(table, MEMORY)
    if not any(table.values()):
        raise DataError(f"{MEMORY}: holds no reviews")
    return with_names(table, classes)


def is_name(source: str) -> bool:
    """Whether a source names reviews that were in memory, as the manifest of an adapter that was trained on them does."""
    return source.startswith(MEMORY)


def refuse(source: str, _split: str | None, _choice: Choice) -> NoReturn:
    """Raises DataError: reviews that were in memory cannot be read again by their name."""
    raise DataError(f"{source}: were given in memory, and cannot be read again; write them into a file, and name it")


def _is(data: Any, library: str, *names: str) -> bool:
    """Whether an object is of one of a library's classes; the library is not imported."""
    return isinstance(data, tuple(getattr(sys.modules.get(library), name, ()) for name in names))


def _of_columns(data: Mapping[Any, Any]) -> dict[str, list[Any]]:
    if any(hasattr(part, "column_names") for part in data.values()):  # a DatasetDict
        raise DataError(f"{MEMORY}: expected the reviews of one split, found the splits {some(list(data))}; give data[split]")
    table = {}
    for name, cells in data.items():
        unordered = isinstance(cells, str | bytes | Mapping | set | frozenset) or getattr(cells, "ndim", 1) != 1
        if unordered or not isinstance(cells, Iterable):
            raise DataError(f"{MEMORY}: column {shown(name)}: expected a list of values, found {shown(_plain(cells))}")
        table[str(name)] = [_plain(cell) for cell in cells]
    if len({len(cells) for cells in table.values()}) > 1:
        lengths = some([f"{shown(name)} of {len(cells)}" for name, cells in table.items()], 5)
        raise DataError(f"{MEMORY}: expected columns of one length, found {lengths}")
    return table


def _of_rows(data: Iterable[Any], text: str, label: str) -> dict[str, list[Any]]:
    rows = []
    for number, row in enumerate(map(_plain, data), 1):
        if isinstance(row, Mapping):
            rows.append({str(name): _plain(cell) for name, cell in row.items()})
        elif isinstance(row, tuple | list) and len(row) == 2:
            rows.append(dict(zip((text, label), map(_plain, row), strict=True)))
        else:
            raise DataError(f"{MEMORY}, row {number}: expected a pair (text, label) or a dict, found {shown(row)}")
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _plain(cell: Any) -> Any:
    """A number or a list in place of NumPy's and torch's; None in place of pandas' missing values."""
    if type(cell).__name__ in ("NAType", "NaTType"):
        return None
    return cell.tolist() if hasattr(cell, "tolist") else cell
