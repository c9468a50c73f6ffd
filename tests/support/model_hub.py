"""A hub on this machine that takes models as the real one does: repositories, cards, Git LFS, commits. Also it fails on request."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_" + "secret" * 5
DROPPED = 0
"""In the place of a status: the connection breaks without an answer."""


@dataclass
class ModelHub:
    """What was pushed, and which requests fail."""

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    """Whether each repository is private, by its name."""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The files of each repository's last commit."""
    commits: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded through Git LFS, by its sha256."""
    failing: dict[str, int] = field(default_factory=dict)
    """A status by a part of a path: requests there fail with it."""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:  # noqa: PLR0911 - a kind of request each
        """The status and the content of the answer to a request."""
        kind = path.removeprefix("/api/")
        if kind == "repos/create":
            return self._create(json.loads(body))
        if kind == "validate-yaml":
            return self._validate(json.loads(body)["content"])
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            links = {each["oid"]: {"upload": {"href": f"{self.address}/large/{each['oid']}"}} for each in objects}
            return 200, {"transfer": "basic", "objects": [{**each, "actions": links[each["oid"]]} for each in objects]}
        if path.startswith("/large/"):
            self.large[path.removeprefix("/large/")] = body
            return 200, {}
        repository = "/".join(kind.split("/")[1:3])
        if repository not in self.files:
            return 404, {"error": "Repository not found"}
        if "/preupload/" in path:
            modes = {
                each["path"]: "lfs" if each["path"].endswith(".safetensors") else "regular" for each in json.loads(body)["files"]
            }
            return 200, {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]}
        if "/commit/" in path:
            return self._commit(repository, [json.loads(line) for line in body.splitlines()])
        listed = [{"path": name, "rfilename": name, "type": "file", "size": len(file), "oid": "0" * 40}
                  for name, file in self.files[repository].items()]  # fmt: skip
        if "/tree/" in path:
            return 200, listed
        return 200, {"id": repository, "sha": self.commits[-1] if self.commits else "0" * 40, "siblings": listed}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization'] or 'me'}/{asked['name']}"
        known = name in self.files
        if not known:
            self.files[name] = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
            self.private[name] = asked.get("visibility") == "private"
        return 409 if known else 200, {"url": f"{self.address}/{name}", "error": "You already created this model repo"}

    def _validate(self, card: str) -> tuple[int, Any]:
        """As the hub: metadata between two lines of three dashes, whose base is a name."""
        metadata = yaml.safe_load(card.split("---\n")[1])
        base = metadata.get("base_model", "a/b")
        errors = [] if base.count("/") <= 1 and not base.startswith("/") else [{"message": f'"base_model" {base} is not valid'}]
        return 400 if errors else 200, {"warnings": [], "errors": errors}

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[repository][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[repository][value["path"]] = self.large[value["oid"]]
        commit = sha1(repr(sorted(self.files[repository].items())).encode()).hexdigest()  # noqa: S324 - as git
        self.commits.append(commit)
        return 200, {"success": True, "commitOid": commit, "commitUrl": f"{self.address}/{repository}/commit/{commit}"}


@contextlib.contextmanager
def serving() -> Iterator[ModelHub]:  # noqa: C901 - one server
    """Yields the hub, which listens on loopback."""
    hub = ModelHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hub.asked.append(f"{self.command} {path}")
            status = next((status for part, status in hub.failing.items() if part in path), None)
            if status == DROPPED:
                self.connection.close()
                self.close_connection = True
                return
            if status is None and not path.startswith("/large/") and self.headers["Authorization"] != f"Bearer {TOKEN}":
                status = 401
            if "/resolve/" in path and status is None:
                self._file(path)
                return
            self._say(*((status, {"error": "no"}) if status else hub.answer(path, body)))

        do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - as the server's class names them

        def _file(self, path: str) -> None:
            repository, _, place = path[1:].partition("/resolve/")
            content = hub.files.get(repository, {}).get(place.partition("/")[2])
            headers = {"X-Repo-Commit": place.partition("/")[0], "ETag": f'"{sha256(content or b"").hexdigest()}"'}
            self._send(404 if content is None else 200, content or b"", headers)

        def _say(self, status: int, content: Any) -> None:
            self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield hub
        server.shutdown()
