"""A walk through the console in a real browser, by the links of its pages."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from playwright.sync_api import Page
from tests.scenarios.accessibility import (
    ALL_ENLARGED_WIDTHS,
    ALL_WIDTHS,
    KEEP_ROWS,
    LOOKS,
    ROWS,
    list_axe_faults,
    list_layout_faults,
)
from tests.scenarios.focus import list_control_forms, list_focus_faults
from tests.scenarios.planned_images import make_advisory

from dockgate.vulnerabilities.model import Severity

CRITICAL = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
START = (
    *("/", "/pipelines", "/images", "/running", "/repositories", "/policies", "/waivers", "/waivers/new"),
    *("/vulnerabilities", f"/vulnerabilities/{CRITICAL}", "/packages/critical-fixed-0", "/images/r/api/app:latest"),
    *("/images/r", "/images/r/api/app"),
    *("/pipelines/web/definition", "/new/pipeline?repository=web&service=web", "/vulnerabilities/CVE-1999-1"),
    *("/advisories", "/events", "/events/rules", "/people", "/audit", "/settings", "/styleguide", "/search?q=api"),
    *("/vex", "/workers", "/attestation-keys", "/gc", "/repositories/api/files/Dockerfile?at=main"),
    # Lists that are filtered and sorted: with rows, and empty.
    *("/images?status=Rejected&repository=api/*&sort=name", "/pipelines?result=InProgress&sort=-name"),
    *("/waivers?state=Active&owner=ana&ending=true&sort=created", "/audit?result=Done&by=ada&sort=at"),
)
# The parameters whose values choose what a page shows; others sort, filter or page it.
CHOICES = ("tab", "replay")
# Links that lead out of the console, and files.
OTHER_PATHS = ("/api", "/static", "/signin/provider")
LIST_LINKS = """() => [...document.querySelectorAll("a[href^='/']:not([download])")].map(
    link => link.getAttribute("href"))"""
REMOVE_SURROUNDINGS = "document.querySelectorAll('svg.icons, .rail li, .menu').forEach(part => part.remove())"


def list_console_faults(page: Page, *, is_thorough: bool) -> list[str]:
    """What is wrong with the pages of the console: each is opened once.

    If `is_thorough`, in windows of all widths, in both looks, and of every control. Else a page has one look, the next
    page the other one, and controls are reached on the pages that have some of a new form.
    """
    faults: list[str] = []
    count = 0
    seen_forms: set[str] = set()
    for _ in walk_pages(page):
        # What surrounds the content is the same on every page.
        part = "main" if count else "body"
        faults += list_layout_faults(page, ALL_WIDTHS, ALL_ENLARGED_WIDTHS) if is_thorough else list_layout_faults(page)
        page.evaluate(KEEP_ROWS, ROWS)
        forms = list_control_forms(page, part)
        if is_thorough or not forms <= seen_forms:
            seen_forms |= forms
            faults += list_focus_faults(page, part)
        if count:
            page.evaluate(REMOVE_SURROUNDINGS)
        faults += list_axe_faults(page, LOOKS if is_thorough else [LOOKS[count % len(LOOKS)]])
        count += 1
        if page.evaluate("document.querySelectorAll('.primary').length") > 1:
            faults.append(f"{page.url}: more than one primary action")
    assert count > 50
    return faults


def walk_pages(page: Page) -> Iterator[str]:
    """Open a page of every kind that links lead to."""
    waiting, seen_kinds = list(START), {_classify_path(path) for path in START}
    while waiting:
        path = waiting.pop(0)
        answer = page.goto(path)
        assert answer is not None
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        links = page.evaluate(LIST_LINKS)
        yield path
        for link in links:
            target = link.partition("#")[0]
            kind = _classify_path(target)
            if kind not in seen_kinds and not target.startswith(OTHER_PATHS) and not target.endswith("/raw"):
                seen_kinds.add(kind)
                waiting.append(target)


def _classify_path(path: str) -> tuple[str, ...]:
    """Pages with the same first part of their path, as many parts, a last part of one scheme and the same choices are
    of one kind."""
    parts = urlsplit(path)
    _, first, *names = unquote(parts.path).split("/")
    scheme = names[-1].partition(":")[0] if names and ":" in names[-1] else ""
    choices = sorted({f"{name}={value}" for name, value in parse_qsl(parts.query) if name in CHOICES})
    return (first, str(len(names)), scheme, *choices)
