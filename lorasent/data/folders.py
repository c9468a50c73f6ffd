"""A folder -> blocks of columns: a file for each split, as on the hub, or a folder of text files for each label, as IMDB ships."""

import re
from collections.abc import Iterator
from pathlib import Path

from lorasent.data import formats
from lorasent.data.columns import Choice, Columns, blocks_of_rows, of_card, reading
from lorasent.errors import DataError
from lorasent.text import some


def read(path: str, split: str | None, choice: Choice) -> Iterator[Columns]:
    """The blocks of a split of a folder. Raises DataError if it has neither a file of that name nor texts."""
    folder = Path(path)
    if not split or not (files := files_of(folder, split)):
        yield from _texts(folder, split)
        return
    classes = of_card(folder)
    for file in files:
        yield from formats.read(str(file), None, choice, classes)


def files_of(folder: Path, split: str) -> list[Path]:
    """The file of a split, or all its shards as the hub names them, in a folder or in its `data`; none if there is none."""
    named = re.compile(rf"{re.escape(split)}(-\d+-of-(\d+))?(?i:{'|'.join(map(re.escape, formats.ENDINGS))})")
    homes = [home for home in (folder, folder / "data") if home.is_dir()]
    found = {file: match for home in homes for file in sorted(home.iterdir()) if (match := named.fullmatch(file.name))}
    if found and [match[2] and int(match[2]) for match in found.values()] not in ([None], [len(found)] * len(found)):
        names = some([file.name for file in found], 5)
        raise DataError(
            f"{folder}:{split}: expected one file, or every shard of one, found {names}: name one file, or fetch all shards"
        )
    return list(found)


def _texts(folder: Path, split: str | None) -> Iterator[Columns]:
    root = folder / split if split else folder
    texts = sorted(
        file
        for file in root.glob("*/*")
        if file.suffix.lower() == ".txt" and file.parent.name != "unsup" and "." not in (file.parent.name[0], file.name[0])
    )
    if not texts:
        raise DataError(
            f"{folder}{':' + split if split else ''}: expected a saved data set, {split or 'SPLIT'}.parquet (.jsonl, .csv), "
            f"or a folder of .txt files for each label in {root}"
        )
    rows = ({"text": file.read_text("utf-8-sig"), "label": file.parent.name} for file in texts)
    with reading(root):
        yield from blocks_of_rows(rows, root, {})
