"""As much of the Hugging Face hub as a download asks for, on loopback, with faults."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds and how it behaves; change it while it runs."""

    repository: str = "EssentialAI/rnj-1-instruct-GGUF"
    files: dict[str, bytes] = field(default_factory=dict)
    told_hash: str = ""
    """The hash that the hub tells; empty: the right one."""

    status: int = 200
    """The status of every answer, when it is not 200."""

    cut_after: int | None = None
    """Bytes of a file after which the next download ends, and every further one is a 503."""

    url: str = ""
    ranges: list[str] = field(default_factory=list)
    """The Range header of every download, empty where there was none."""

    tokens: list[str] = field(default_factory=list)
    """The Authorization header of every request."""

    _broken: bool = False

    def well(self) -> None:
        """Stop failing."""
        self.status, self.cut_after, self._broken = 200, None, False


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Let the hub answer at `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.tokens.append(self.headers.get("Authorization") or "")
            path = urlsplit(self.path).path
            if hub.status != 200:
                self._json(hub.status, {"error": "as the test wants it"})
            elif path == f"/api/models/{hub.repository}":
                self._json(200, _info(hub))
            elif path.startswith(f"/{hub.repository}/resolve/{REVISION}/"):
                self._file(hub.files[path.rpartition("/")[2]])
            else:
                self._json(404, {"error": "Repository not found"}, "RepoNotFound")

        def _file(self, content: bytes) -> None:
            asked = self.headers.get("Range") or ""
            hub.ranges.append(asked)
            if hub._broken:
                self._json(503, {"error": "come back later"})
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if asked:
                last = len(content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
            self.end_headers()
            if hub.cut_after is not None:
                hub._broken = True
                self.wfile.write(content[start : hub.cut_after])
                self.close_connection = True
            else:
                self.wfile.write(content[start:])

        def _json(self, status: int, value: Any, code: str = "") -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _info(hub: Hub) -> dict[str, Any]:
    siblings = []
    for name, content in hub.files.items():
        entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
        if name.endswith(".gguf"):
            sha256 = hub.told_hash or hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 135}
        siblings.append(entry)
    return {"id": hub.repository, "sha": REVISION, "siblings": siblings}
