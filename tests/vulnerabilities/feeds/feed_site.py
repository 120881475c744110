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
    before their Content-Length, `slow` ones send a byte each so many seconds: of the `slow_part`, which is "body",
    "head" or "chunk" (before its content). `redirects` lead elsewhere. `requests` has "path status" of each answer, in
    order, `aborted_paths` the paths of slow ones whose client did not wait for the end.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.failing: dict[str, list[int]] = {}
        self.validator = "ETag"
        self.cut: set[str] = set()
        self.slow: dict[str, float] = {}
        self.slow_part = "body"
        self.redirects: dict[str, str] = {}
        self.requests: list[str] = []
        self.aborted_paths: list[str] = []
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
            if path in site.slow and site.slow_part != "body":
                self.send_with_slow_part(body)
                return
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

        def send_with_slow_part(self, body: bytes) -> None:
            """Send the body with a long head, or in one chunk with a long extension (RFC 9112, section 7.1.1)."""
            is_head, size = site.slow_part == "head", len(body)
            begin = "X-Long: " if is_head else f"Transfer-Encoding: chunked\r\n\r\n{size:x};x="
            self.wfile.write(f"HTTP/1.1 200 OK\r\n{begin}".encode())
            self.send_slowly(b"x" * 200, site.slow[unquote(self.path)])
            with suppress(OSError):  # the client gives up
                end = f"\r\nContent-Length: {size}\r\n\r\n" if is_head else "\r\n"
                self.wfile.write(end.encode() + body + (b"" if is_head else b"\r\n0\r\n\r\n"))
            self.close_connection = True

        def send_slowly(self, body: bytes, seconds: float) -> None:
            try:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(seconds)
            except OSError:
                site.aborted_paths.append(unquote(self.path))

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
