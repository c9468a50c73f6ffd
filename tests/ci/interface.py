"""GitHub's interface for comments, on this machine."""

import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Interface:
    """The comments of one pull request, and what was asked."""

    comments: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    """Method, path and token of each request."""
    refuses: dict = field(default_factory=dict)
    """Statuses by method."""
    url: str = ""

    def add(self, body, kind="Bot"):
        """A comment that is there already."""
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"type": kind}})


@contextlib.contextmanager
def serving():
    """Yields the interface of a pull request without comments."""
    interface = Interface()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            interface.asked.append((self.command, asked.path, self.headers.get("Authorization")))
            if status := interface.refuses.get(self.command):
                return self._answer(status, {"message": "no"})
            if self.command == "GET":
                query = parse_qs(asked.query)
                page, size = int(query["page"][0]), int(query["per_page"][0])
                return self._answer(200, interface.comments[(page - 1) * size : page * size])
            if self.command == "POST":
                interface.add(body["body"])
                return self._answer(201, interface.comments[-1])
            comment = interface.comments[int(asked.path.rpartition("/")[2]) - 1]
            comment["body"] = body["body"]
            return self._answer(200, comment)

        do_POST = do_PATCH = do_GET  # noqa: N815 - as the server's class names them

        def _answer(self, status, content):
            body = json.dumps(content).encode()
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", f"{interface.url}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        interface.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield interface
        server.shutdown()
