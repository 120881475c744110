"""A loopback HTTP server of files whose failures a test can plan."""

import hashlib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Site:
    """`files` by path ("/osv/Debian/all.zip"). `failing` paths answer so many times with that status, first.

    `validator` is the header by which it knows files again: "ETag", "Last-Modified" or "" for none. `cut` paths end
    before their Content-Length, `slow` ones send a byte each so many seconds, `redirects` lead elsewhere. `requests`
    has "path status" of each answer, in order.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.failing: dict[str, list[int]] = {}
        self.validator = "ETag"
        self.cut: set[str] = set()
        self.slow: dict[str, float] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[str] = []
        self.url = ""

    def make_etag(self, path: str) -> str:
        return '"' + hashlib.sha256(self.files[path]).hexdigest()[:16] + '"'


@contextmanager
def serve_files(files: dict[str, bytes], tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            if site.failing.get(path):
                self.answer(path, site.failing[path].pop(0))
            elif path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[path])
                self.end_headers()
            elif path not in site.files:
                self.answer(path, 404)
            elif self.is_current(path):
                self.answer(path, 304)
            else:
                self.answer(path, 200, site.files[path])

        def is_current(self, path: str) -> bool:
            if site.validator == "ETag":
                return self.headers["If-None-Match"] == site.make_etag(path)
            return site.validator == "Last-Modified" and self.headers["If-Modified-Since"] == _DATE

        def answer(self, path: str, status: int, body: bytes = b"") -> None:
            site.requests.append(f"{path} {status}")
            self.send_response(status)
            if status == 200 and site.validator:
                self.send_header(site.validator, site.make_etag(path) if site.validator == "ETag" else _DATE)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if path in site.slow:
                self.send_slowly(body, site.slow[path])
            else:
                self.wfile.write(body[: len(body) // 2] if path in site.cut else body)

        def send_slowly(self, body: bytes, seconds: float) -> None:
            with suppress(OSError):  # the client gives up
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(seconds)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_DATE = "Sat, 01 Aug 2026 00:00:00 GMT"
