"""A hub on this machine that serves one data set from a folder and records what was fetched."""

import contextlib
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the hub's address and the list of paths that were fetched from it."""
    fetched: list[str] = []

    def entry(path: Path) -> dict[str, object]:
        name = str(path.relative_to(folder))
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": COMMIT}
        return {"type": "file", "path": name, "size": path.stat().st_size, "oid": sha256(path.read_bytes()).hexdigest()}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/datasets/"):
                said = (
                    self._listed(path.partition("/tree/")[2].partition("/")[2])
                    if "/tree/" in path
                    else {"id": "of/any", "sha": COMMIT}
                )
                self._answer(json.dumps(said).encode())
            elif (file := folder / path.partition("/resolve/")[2].partition("/")[2]).is_file():
                fetched.extend([file.name] if self.command == "GET" else [])
                self._answer(file.read_bytes())
            else:
                self._answer(None)

        do_HEAD = do_GET  # noqa: N815 - as the server's class names it

        def _listed(self, inside: str) -> list[dict[str, object]]:
            return [entry(path) for path in sorted((folder / inside).iterdir())]

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
