"""Stand-ins for AWS services: for clients of this process without sockets, or as HTTP servers on loopback for any."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from tests.aws.fakes.model import list_faults, load_operation

Answer = tuple[int, dict[str, Any]]


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """What the service answers instead: an error of its model."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


class Service:
    """A service by its operations: name -> what it does with a request.

    Every request and answer is validated with botocore's model; a fault in either is the error ValidationException,
    and is recorded in `faults` for the test."""

    def __init__(self, name: str, operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
        self.name = name
        self.operations = operations
        self.faults: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._lock = threading.Lock()

    def answer(self, operation_name: str, request: dict[str, Any]) -> Answer:
        model = load_operation(self.name, operation_name)
        wrong = list_faults(model.input_shape, request, operation_name)
        with self._lock:
            self.calls.append((operation_name, request))
            if wrong:
                self.faults += wrong
                return 400, {"__type": "ValidationException", "message": "; ".join(wrong)}
            try:
                answer = self.operations[operation_name](request)
            except Refused as refusal:
                return 400, {"__type": refusal.code, "message": str(refusal)}
        wrong = list_faults(model.output_shape, answer, f"answer of {operation_name}") if model.output_shape else []
        if wrong:
            self.faults += wrong
            return 500, {"__type": "InternalFailure", "message": "; ".join(wrong)}
        return 200, answer


class _Body(BytesIO):
    """As urllib3 hands a response's body to botocore."""

    def stream(self) -> Iterator[bytes]:
        yield self.getvalue()


def make_send_hook(service: Service) -> Callable[..., AWSResponse]:
    """A hook for a client's `before-send`, which answers its requests as `serve_service` does."""
    routes = _list_routes(service)

    def answer(request: AWSPreparedRequest, **details: Any) -> AWSResponse:
        status, headers, body = _answer(service, routes, urlsplit(request.url).path, request.headers, request.body)
        return AWSResponse(request.url, status, HeadersDict(headers), _Body(body))

    return answer


@contextmanager
def serve_service(service: Service) -> Iterator[str]:
    """The service's URL while it answers: JSON 1.1 by its target header, or REST JSON by the path."""
    routes = _list_routes(service)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, text = _answer(service, routes, self.path.partition("?")[0], self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _list_routes(service: Service) -> dict[str, str]:
    """path -> name of each operation, for REST"""
    models = [load_operation(service.name, name) for name in service.operations]
    return {model.http["requestUri"].partition("?")[0]: model.name for model in models}


def _answer(
    service: Service, routes: Mapping[str, str], path: str, headers: Any, body: bytes | None
) -> tuple[int, dict[str, str], bytes]:
    target = headers.get("X-Amz-Target", "")
    target = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
    name = target or routes.get(path, "")
    if name not in service.operations:
        status, answer = 404, {"__type": "UnknownOperationException", "message": name or path}
    else:
        status, answer = service.answer(name, json.loads(body or b"{}"))
    answer_headers = {"Content-Type": "application/x-amz-json-1.1"}
    if status != 200:
        answer_headers["x-amzn-ErrorType"] = answer["__type"]
    return status, answer_headers, json.dumps(answer).encode()
