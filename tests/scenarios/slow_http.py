"""Requests with long timeouts, for tests on busy machines that are not about speed."""

import ssl
import time
from functools import partial
from typing import Any

import httpx

SECONDS = 60
# Made once: with one for each request, a test that waits for a server takes a fifth of a core.
_TRUST = ssl.create_default_context()

get = partial(httpx.get, timeout=SECONDS, verify=_TRUST)
head = partial(httpx.head, timeout=SECONDS, verify=_TRUST)
post = partial(httpx.post, timeout=SECONDS, verify=_TRUST)
put = partial(httpx.put, timeout=SECONDS, verify=_TRUST)
delete = partial(httpx.delete, timeout=SECONDS, verify=_TRUST)
request = partial(httpx.request, timeout=SECONDS, verify=_TRUST)


def get_again(url: str, **options: Any) -> httpx.Response:
    """The answer to a GET, asked again for a minute while it is 503 with Retry-After.

    On a host that is busy enough a server finds that its database does not answer, and says so.
    """
    end = time.monotonic() + SECONDS
    while True:
        answer = get(url, **options)
        if answer.status_code != 503 or "retry-after" not in answer.headers or time.monotonic() > end:
            return answer
        time.sleep(int(answer.headers["retry-after"]))
