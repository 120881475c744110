"""A walk through the console in a real browser, by the links of its pages."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Page
from tests.scenarios.planned_images import make_advisory

from dockgate.vulnerabilities.model import Severity

CRITICAL = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
START = (
    *("/", "/pipelines", "/images", "/running", "/repositories", "/policies", "/waivers", "/waivers/new"),
    *("/vulnerabilities", f"/vulnerabilities/{CRITICAL}", "/packages/critical-fixed-0", "/images/r/api/app:latest"),
    *("/images/r", "/images/r/api/app"),
    *("/pipelines/web/definition", "/new/pipeline?repository=web&service=web", "/vulnerabilities/CVE-1999-1"),
    *("/advisories", "/events", "/events/rules", "/people", "/audit", "/settings", "/styleguide", "/search?q=api"),
    *("/vex", "/workers", "/attestation-keys", "/gc"),
)
# Pages of one walk: the first of each kind are reached long before.
MAX_PAGES = 75


def walk_pages(page: Page) -> Iterator[str]:
    """Open a page of every kind that links lead to."""
    waiting, seen_kinds = list(START), {_classify_path(path) for path in START}
    for _ in range(MAX_PAGES):
        if not waiting:
            return
        path = waiting.pop(0)
        answer = page.goto(path)
        assert answer is not None
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        yield path
        for link in page.locator("a[href^='/']:not([download])").evaluate_all(
            "links => links.map(link => link.getAttribute('href'))"
        ):
            target = link.partition("#")[0]
            kind = _classify_path(target)
            if kind not in seen_kinds and not target.startswith(("/api", "/static")) and not target.endswith("/raw"):
                seen_kinds.add(kind)
                waiting.append(target)


def _classify_path(path: str) -> tuple[str, int, tuple[str, ...]]:
    """Pages with the same first part of their path, as many parts, the same parameters and tab are of one kind."""
    parts = urlsplit(path)
    fields = parse_qsl(parts.query, keep_blank_values=True)
    names = sorted({f"tab={value}" if name == "tab" else name for name, value in fields})
    return parts.path.split("/")[1], parts.path.count("/"), tuple(names)
