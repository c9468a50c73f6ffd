"""Blocks of columns, in which every source is read. Class labels are read as names: data sets number them differently."""

import contextlib
import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lorasent.errors import DataError, LorasentError, first_line
from lorasent.text import shown

ROWS_PER_BLOCK = 1024
"""Largest number of rows of a block."""

Columns = Mapping[str, Sequence[Any]]
"""Values by column, all of one length."""

Classes = Mapping[str, Sequence[str]]
"""The names of class labels by column; a name's position is its number."""

Choice = Callable[[Sequence[str]], Sequence[str]] | None
"""A function that chooses the columns to read from the names found; None reads all."""


def chosen(names: Iterable[str], where: object, choice: Choice = None) -> list[str]:
    """The columns to read. Raises DataError if two names differ in nothing but case and spaces."""
    known: dict[str, str] = {}
    for name in names:
        if (key := name.strip().casefold()) in known:
            both = f"{shown(known[key])} and {shown(name)}" if key else "without a name"
            raise DataError(f"{where}: two columns of the same name, {both}: rename or remove one")
        known[key] = name
    return list(choice(list(known.values())) if choice else known.values())


def with_names(block: Columns, classes: Classes) -> Columns:
    """A block in which class labels have names in place of numbers."""
    return {**block, **{name: [name_of(value, names) for value in block[name]] for name, names in classes.items() if name in block}}


def blocks_of_rows(rows: Iterable[Mapping[str, Any]], where: object, classes: Classes) -> Iterator[Columns]:
    """Rows -> blocks of columns. A key that a row lacks is None in it; a block has no column for a key that all its rows lack."""
    rows, seen = iter(rows), dict[str, None]()
    while block := list(islice(rows, ROWS_PER_BLOCK)):
        names = dict.fromkeys(name for row in block for name in row)
        seen |= names
        chosen(seen, where)
        yield with_names({name: [row.get(name) for row in block] for name in names}, classes)


def values(block: Columns, name: str) -> Sequence[Any]:
    """The values of a column of a block; None in each row where the block lacks the column."""
    return block.get(name) or [None] * len(next(iter(block.values())))


def name_of(value: Any, names: Sequence[str]) -> Any:
    """The name of a class label, or of each label in a list. A name, or a value that is not a number, is returned unchanged."""
    if isinstance(value, list):
        return [name_of(element, names) for element in value]
    if isinstance(value, str) and value not in names and value.isascii() and value.isdigit():  # CSV has no numbers
        value = int(value[:9])
    if isinstance(value, float) and value.is_integer():  # integers of a column with a missing value
        value = int(value)
    if isinstance(value, int):
        return names[value] if value in range(len(names)) else f"class {value}"
    return value


def of_features(features: Mapping[str, Any]) -> Classes:
    """The class labels among the features of `datasets` as JSON, also inside lists.

    Names that are numbers other than the positions (stars from 1 to 5) become "class NUMBER", because they are not ids.
    """
    classes = {}
    for column, feature in features.items():
        inner = feature
        while isinstance(inner, list | dict) and "names" not in inner:
            inner = inner.get("feature") if isinstance(inner, dict) else next(iter(inner), None)
        if isinstance(inner, dict) and inner["names"] and inner.get("_type") == "ClassLabel":
            names = inner["names"]
            stars = all(name.isdecimal() for name in names) and set(names) != set(map(str, range(len(names))))
            classes[column] = [f"class {name}" for name in names] if stars else names
    return classes


def of_card(folder: Path) -> Classes:
    """The class labels in the data set's card (README.md, as on the hub) of a folder or of the folder above it.

    Of several configurations the one with the folder's name counts; without it, columns whose names differ have no names.
    """
    for home in (folder, folder.parent):
        if (home / "README.md").is_file() and (home / "README.md").read_bytes().startswith(b"---"):  # how a card begins
            from datasets.info import DatasetInfosDict

            cards: dict[str, Any] = {}
            with contextlib.suppress(Exception):  # most projects have a README.md that is not a card
                cards = DatasetInfosDict.from_directory(str(home))
            configurations = [cards[folder.name]] if folder.name in cards else cards.values()
            classes = [of_features(card.features.to_dict()) for card in configurations if card.features]
            return {
                column: names if all(other.get(column, names) == names for other in classes) else []
                for configuration in classes
                for column, names in configuration.items()
            }
    return {}


@contextlib.contextmanager
def reading(where: object, failure: str = "not a readable file") -> Iterator[None]:
    """Turns a library's exception into a DataError: `where`, `failure`, and the reason. OSError of the file system passes."""
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{where}: expected UTF-8, found byte {byte:#04x}; convert it, for example with iconv") from None
    except Exception as error:
        if isinstance(error, LorasentError | OSError) and not isinstance(error, gzip.BadGzipFile):
            raise
        raise DataError(f"{where}: {failure}: {first_line(error)}") from None
