"""Requests as httpx makes them, to servers that a busy machine keeps waiting: no case is about how long they take."""

from functools import partial

import httpx

SECONDS = 60

get = partial(httpx.get, timeout=SECONDS)
head = partial(httpx.head, timeout=SECONDS)
post = partial(httpx.post, timeout=SECONDS)
put = partial(httpx.put, timeout=SECONDS)
request = partial(httpx.request, timeout=SECONDS)
