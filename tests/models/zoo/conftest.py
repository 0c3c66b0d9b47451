"""A server on this machine, as well-behaved or as broken as a test wants it, and a zoo folder of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Server:
    """What the server offers and how it behaves; `requests` lists (path, Range header) as they came."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    length: bool = True
    etag: str = '"one"'
    break_after: list[int] = field(default_factory=list)  # of each coming answer so many bytes, then silence
    status: list[int] = field(default_factory=list)  # of coming answers
    delay: threading.Event | None = None  # answers wait for it
    requests: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            with server.lock:
                server.requests.append((self.path, asked))
                status = server.status.pop(0) if server.status else 0
                limit = server.break_after.pop(0) if server.break_after else None
            if server.delay is not None:
                server.delay.wait(20)
            content = server.files.get(self.path)
            if status or content is None:
                self.send_error(status or 404)
                return
            self.answer(content, asked, limit)

        def answer(self, content: bytes, asked: str, limit: int | None) -> None:
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
            if self.headers.get("If-Range", server.etag) != server.etag:
                start = 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.length:
                self.send_header("Content-Length", str(len(content) - start))
            if server.etag:
                self.send_header("ETag", server.etag)
            self.end_headers()
            body = content[start:]
            self.wfile.write(body if limit is None else body[:limit])

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state))
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is also where the test works; no setting of the user's reaches it."""
    for name in ("EASYNLP_MODELZOO_BASE_DIR", "EASYNLP_CACHE_ROOT", "FASHIONKLIP_ZOO_URL", "FASHIONKLIP_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are left out."""
    monkeypatch.setattr("easynlp_fashionklip.models.zoo.download._PAUSE", 0.0)
