"""Requests with long timeouts, for tests on busy machines that are not about speed."""

import ssl
from functools import partial

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
