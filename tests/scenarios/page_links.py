"""The console's pages that links lead to, for a browser without scripts."""

from collections import Counter
from collections.abc import Sequence

import httpx
from tests.scenarios.browser import Browser, Forms

START = ("/", "/pipelines", "/images", "/running", "/repositories", "/policies", "/waivers", "/advisories", "/events")
MORE = ("/people", "/audit", "/settings", "/gc", "/styleguide", "/search?q=api", "/signin")


Pages = list[tuple[str, httpx.Response]]


def fetch_linked_pages(browser: Browser, start: Sequence[str], limit: int = 1) -> Pages:
    """The pages that links lead to, with one filter or order at most: all sets of them are too many.

    `limit` is for the pages of one kind: the same first part of the path, as many parts, and the same parameter.
    """
    waiting, seen_links, pages = [*start], {*start}, []
    kinds: Counter[tuple[str, int, str]] = Counter()
    while waiting:
        path = waiting.pop()
        plain, _, query = path.partition("?")
        kind = (plain.split("/")[1], plain.count("/"), query.partition("=")[0])
        kinds[kind] += 1
        if path not in start and kinds[kind] > limit:
            continue
        answer = browser.get(path)
        pages.append((path, answer))
        if answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"):
            new = {link.partition("#")[0] for link in Forms(answer.text).links} - seen_links
            new = {link for link in new if link and not link.startswith(("/api/", "/static/")) and "&" not in link}
            seen_links |= new
            waiting += sorted(new)
    return pages
