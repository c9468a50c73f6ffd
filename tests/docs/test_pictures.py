"""The pictures of the README are fresh; `python -m tests.docs.pictures` draws them again."""

import re
import struct

from tests.docs import pictures


def test_the_terminal_is_drawn_as_it_is_printed():
    """The picture is what the terminal shows of the recorded verdict today, and asks no server for anything."""
    drawn = (pictures.FOLDER / "terminal.svg").read_text("utf-8")
    assert drawn == pictures.screen()
    assert re.findall(r"https?://(?!www\.w3\.org|www\.textualize\.io)", drawn) == []


def test_the_report_is_drawn_as_it_looks():
    """The picture was taken of a page with today's template and style."""
    content = (pictures.FOLDER / "report.png").read_bytes()
    texts, place = {}, 8
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"tEXt":
            name, _, value = content[place + 8 : place + 8 + size].partition(b"\0")
            texts[name.decode()] = value.decode()
        place += size + 12
    assert texts[pictures.STYLE] == pictures.style()
