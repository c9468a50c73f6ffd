"""A hub on this machine that serves one data set, or one model, from a folder and records what was fetched."""

import contextlib
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


def listed(folder: Path, path: str) -> object:
    """The entries of a data set's folder; or what a repository is, of a model with its files."""

    def entry(path: Path) -> dict[str, object]:
        name = str(path.relative_to(folder))
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": COMMIT}
        return {"type": "file", "path": name, "size": path.stat().st_size, "oid": sha256(path.read_bytes()).hexdigest()}

    if "/tree/" in path:
        inside = path.partition("/tree/")[2].partition("/")[2]
        return [entry(path) for path in sorted((folder / inside).iterdir())]
    files = {"siblings": [{"rfilename": file.name} for file in sorted(folder.iterdir())]}
    return {"id": "of/any", "sha": COMMIT, **(files if path.startswith("/api/models/") else {})}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the hub's address and the list of paths that were fetched from it."""
    fetched: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/"):
                self._answer(json.dumps(listed(folder, path)).encode())
            elif (file := folder / path.partition("/resolve/")[2].partition("/")[2]).is_file():
                fetched.extend([file.name] if self.command == "GET" else [])
                self._answer(file.read_bytes())
            else:
                self._answer(None)

        do_HEAD = do_GET  # noqa: N815 - as the server's class names it

        def _answer(self, body: bytes | None) -> None:
            self.send_response(404 if body is None else 200)
            self.send_header("X-Error-Code" if body is None else "X-Repo-Commit", "EntryNotFound" if body is None else COMMIT)
            self.send_header("ETag", f'"{sha256(body or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", fetched
        server.shutdown()
