"""Many waiters on few digests, with repeated, late and unordered events, on a server that is killed repeatedly."""

import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from standardwebhooks import Webhook
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.many_waiters import Crowd, digest, is_vulnerable

from dockgate.delivery.webhook_delivery import Callback

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Receives callbacks. `answers` counts by webhook-id, `states` has the states sent for each approval; a wrong
    signature is an error."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.states: dict[str, set[str]] = {}
        self.errors: list[str] = []
        lock, receiver = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # the server died while it sent
                try:
                    data = Webhook(SECRET).verify(body, dict(self.headers.items()))["data"]
                except Exception as error:
                    receiver.errors.append(repr(error))
                    data = {"approval": "", "state": ""}
                with lock:
                    receiver.answers[self.headers["webhook-id"]] += 1
                    receiver.states.setdefault(data["approval"], set()).add(data["state"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/answers"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def play(folder: Path, *, waiting: int, digests: int, repeats: int, kills: int, seconds: float) -> Receiver:
    """Request the approvals, send each digest's events `repeats` times and kill the server in between; assert that each
    was answered once, correctly, and by callback."""
    order = [(number, f"{number}-{turn % 2}") for turn in range(repeats) for number in range(digests)]
    chance = random.Random(4)  # noqa: S311 - no secret is made of it
    chance.shuffle(order)
    order.sort(key=lambda entry: entry[0] >= digests * 3 // 4)  # the last quarter's events come late
    deaths = sorted(chance.sample(range(1, len(order)), kills))
    receiver = Receiver()
    with Crowd(folder, pauses=0.2) as crowd:
        crowd.store_approvals(waiting, digests, Callback(receiver.url, SECRET))
        crowd.start()
        for position, (number, event) in enumerate(order):
            if position in deaths:
                crowd.kill()
            _send(crowd, number, event)
        crowd.wait_until_settled(seconds)
        crowd.kill()
        crowd.start()
        wait_until(lambda: len(receiver.answers) == waiting, seconds, 0.2)
        wait_until(
            lambda: (
                crowd.query_rows("SELECT count(*) FROM outbox WHERE kind = 'webhook' AND done_at IS NULL")[0][0] == 0
            ),
            seconds,
            0.2,
        )
        answers = Counter(name for name, _ in crowd.query_rows("SELECT approval, state FROM answers"))
        states = dict(crowd.query_rows("SELECT id, state FROM approvals"))
        images = dict(crowd.query_rows("SELECT id, image FROM approvals"))
    receiver.close()
    assert set(answers.values()) == {1}
    assert len(answers) == len(states) == waiting
    assert len(set(images.values())) == digests
    for name, image in images.items():
        assert states[name] == ("Rejected" if is_vulnerable(image) else "Approved")
        assert receiver.states[name] == {states[name]}
    assert receiver.errors == []
    assert {is_vulnerable(digest(number)) for number in range(digests)} == {True, False}
    return receiver


def _send(crowd: Crowd, number: int, event: str) -> None:
    """As registries do: until it was taken."""
    end = time.monotonic() + 60
    while True:
        if not crowd.alive:
            crowd.start()
        try:
            if slow_http.post(**crowd.make_notification(number, event), timeout=10, trust_env=False).status_code == 202:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end
        time.sleep(0.05)
