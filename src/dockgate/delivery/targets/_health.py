"""Run health checks within a bounded time and with bounded output."""

import re
import socket
import threading
import time
from dataclasses import dataclass, field

from dockgate.delivery.service_model import Probe

# Bytes of a run's output that are kept: the last of them.
OUTPUT_LIMIT = 4096
# Seconds in which an HTTP server that refuses may still say why.
_REASON_SECONDS = 0.5

# Colours and other sequences of a terminal (ECMA-48, 5.4), and control characters but line breaks and tabs.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one run of a health check. `output` is as in `Probe`."""

    is_healthy: bool
    output: str | None = None


def format_output_end(output: bytes) -> str:
    """Return the last OUTPUT_LIMIT bytes as text without control characters."""
    text = output[-OUTPUT_LIMIT:].decode(errors="replace").replace("\r\n", "\n")
    return _CONTROLS.sub("", _SEQUENCES.sub("", text)).strip()


def probe_http(host: str, port: int, path: str, seconds: float) -> Outcome:
    """Return whether `GET path` is answered with a status below 400 within `seconds`, all in all.

    The answer is read no further than to its status line, of a refusal to OUTPUT_LIMIT bytes: an HTTP client's timeouts
    restart with every byte, and the other side is a service that need not be well-behaved.
    """
    end = time.monotonic() + seconds
    answer = b""
    trouble = f"no HTTP answer within {seconds:g} s"
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: dockgate\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            while b"\n" not in answer and (chunk := _receive(connection, len(answer), end)):
                answer += chunk
            if _is_good(answer):
                return Outcome(True, format_output_end(answer.partition(b"\n")[0]) or None)
            end = min(end, time.monotonic() + _REASON_SECONDS)
            while chunk := _receive(connection, len(answer), end):
                answer += chunk
    except TimeoutError:
        pass
    except OSError as error:
        trouble = f"no HTTP answer: {error.strerror or error}"
    return Outcome(_is_good(answer), format_output_end(answer) or trouble)


def _receive(connection: socket.socket, size: int, end: float) -> bytes:
    """The next bytes of an answer of which `size` are read; none at its end, its limit, or the time's."""
    remaining = end - time.monotonic()
    if remaining <= 0 or size >= OUTPUT_LIMIT:
        return b""
    connection.settimeout(remaining)
    return connection.recv(OUTPUT_LIMIT - size)


def _is_good(answer: bytes) -> bool:
    words = answer.partition(b"\n")[0].split()
    return len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() and 200 <= int(words[1]) < 400


@dataclass(frozen=True, slots=True)
class LastProbes:
    """The last run of each task's health check, by service and task. Any thread may call."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _probes: dict[str, dict[str, Probe]] = field(default_factory=dict)

    def record(self, service: str, task: str, outcome: Outcome, at: str, seconds: float) -> None:
        """Note a run that ended at `at` (RFC 3339) after `seconds`."""
        with self._lock:
            probes = self._probes.setdefault(service, {})
            last = probes.get(task)
            failures = 0 if outcome.is_healthy else (last.failures or 0) + 1 if last else 1
            probes[task] = Probe(outcome.is_healthy, outcome.output, at, round(seconds, 3), failures)

    def get(self, service: str, task: str) -> Probe | None:
        """The last run, None if there was none."""
        with self._lock:
            return self._probes.get(service, {}).get(task)

    def forget_other_tasks(self, service: str, tasks: set[str]) -> None:
        """Forget all tasks of the service but these."""
        with self._lock:
            probes = {name: probe for name, probe in self._probes.pop(service, {}).items() if name in tasks}
            if probes:
                self._probes[service] = probes
