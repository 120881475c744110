"""Whether something answers over HTTP, decided within a bounded time, whatever the answer."""

import socket
import time
from contextlib import suppress

_LONGEST_STATUS_LINE = 4096


def answers(host: str, port: int, path: str, seconds: float) -> bool:
    """Whether `GET path` is answered with a status below 400 within `seconds`, all in all.

    Only the status line is read: an HTTP client's timeouts start anew with every byte, and the other side is a service
    that need not be well-behaved.
    """
    end = time.monotonic() + seconds
    line = b""
    with suppress(OSError), socket.create_connection((host, port), timeout=seconds) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: dockgate\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        while b"\n" not in line and len(line) < _LONGEST_STATUS_LINE and (remaining := end - time.monotonic()) > 0:
            connection.settimeout(remaining)
            chunk = connection.recv(_LONGEST_STATUS_LINE)
            if not chunk:
                break
            line += chunk
    words = line.partition(b"\n")[0].split()
    return len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() and 200 <= int(words[1]) < 400
