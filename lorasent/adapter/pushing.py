"""An adapter to the hub: its files as the manifest lists them, and its model card, in one commit."""

import os
from pathlib import Path

from lorasent import files, hub
from lorasent.adapter import card
from lorasent.adapter.manifest import MANIFEST, identity, verify
from lorasent.adapter.snapshot import Snapshot
from lorasent.errors import AdapterError

LARGEST_CARD = 1 << 20
"""Largest model card that is pushed, in bytes."""


def push(path: Path, repository: str, *, private: bool = True, verdict: str = "") -> hub.Pushed:
    """Pushes an adapter's directory to a model repository, which is made, private or not, if it is new.

    What is pushed was verified: the manifest's own files, from a private copy. `verdict`, in Markdown, becomes the card's last
    verdict, on the disk as well. Raises AdapterError, and HubError, after which the directory is as it was.
    """
    hub.require_pushable(repository)
    snapshot = Snapshot(path)
    written = verify(snapshot)
    before = _card(path)
    text = before or card.card(written.content)
    if verdict:
        text = card.with_verdict(text, verdict)
    parts: dict[str, Path | bytes] = {name: snapshot.folder / name for name in (*sorted(written.files), MANIFEST)}
    pushed = hub.push({**parts, card.NAME: text.encode()}, repository, f"Adapter {identity(snapshot)[:12]}", private=private)
    if text != before:
        files.write(path / card.NAME, [text])
    return pushed


def _card(path: Path) -> str:
    """The card that people may have edited, or "" without one. Raises AdapterError for a link, which may lead to a secret."""
    file = path / card.NAME
    if not os.path.lexists(file):
        return ""
    try:
        if file.is_symlink():
            raise AdapterError(f"{file}: is a link; put the file itself there")
        with files.open_regular(file, LARGEST_CARD) as opened:
            return opened.read().decode("utf-8-sig")
    except OSError as error:
        raise AdapterError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AdapterError(f"{file}: expected UTF-8") from None
