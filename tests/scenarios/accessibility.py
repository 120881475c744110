"""What axe finds on a page in a real browser, by scheme and width, and whether the page fits its window."""

from collections.abc import Iterator
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Without the windows of the whole browser, it takes a fifth less of the processor.
CHROMIUM = Path(__file__).with_name("chromium_without_netlink.py")
RUN_AXE = """
    options => axe.run(document, options).then(
        results => results.violations.map(fault => `${fault.id}: ${fault.nodes[0].html.slice(0, 200)}`))
"""
# The scheme and the width in pixels. Another scheme has other contrasts; a narrow window has other elements.
LOOKS = (("light", 1440), ("dark", 360))
# Contrasts take most of axe's time, and the rows of a table look alike.
ROWS = 4
WITHOUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}
KEEP_ROWS = """count => document.querySelectorAll("tbody").forEach(
    body => [...body.rows].slice(count).forEach(row => row.remove()))"""
WIDTHS = (1440, 1100, 768, 360)
# Widths at which the text is made twice as large: nothing may leave its box then, or make the page scroll sideways.
ENLARGED_WIDTHS = (1440, 360)
SPILLING = """() => [...document.querySelectorAll("td, button, .button, .answer, .panel, .chip, .severity, .top")]
    .filter(box => box.clientWidth && box.scrollWidth > box.clientWidth + 3)
    .filter(box => getComputedStyle(box).overflowX === "visible")
    .map(box => box.outerHTML.slice(0, 150))"""
# Moments are read at a glance: each is in one line, but in the table of feeds, which has three of them in a row.
BROKEN_TIMES = """() => [...document.querySelectorAll("time")]
    .filter(time => time.checkVisibility() && !time.closest(".feeds"))
    .filter(time => new Set([...time.getClientRects()].map(box => Math.round(box.top))).size > 1)
    .map(time => time.closest("td, dd, p, li")?.textContent.trim().slice(0, 80) ?? time.textContent)"""
# Words of sentences in tables are whole: only names, which have no blanks, may break between letters.
BROKEN_WORDS = """() => {
    const broken = []
    const texts = document.createTreeWalker(document.querySelector("main") ?? document.body, NodeFilter.SHOW_TEXT)
    while (texts.nextNode()) {
        const text = texts.currentNode
        const cell = text.parentElement.closest("td")
        const isProse = cell && text.parentElement.checkVisibility()
        if (!isProse || text.parentElement.closest("code, pre, .visually-hidden")) continue
        for (const word of text.data.matchAll(/(?<![^\\s(])[\\p{L}]{3,20}(?![^\\s,.:;)])/gu)) {
            const range = document.createRange()
            range.setStart(text, word.index)
            range.setEnd(text, word.index + word[0].length)
            const lines = new Set([...range.getClientRects()].filter(box => box.width).map(box => Math.round(box.top)))
            if (lines.size > 1) broken.push(`${word[0]} in ${cell.textContent.trim().slice(0, 80)}`)
        }
    }
    return broken
}"""
# The least height and width of what is pressed, by the width of the window: links within a text are as high as it.
TARGETS = {1440: 24, 360: 44}
SMALL = """least => [...document.querySelectorAll("a[href], button, summary, input, select, textarea")]
    .filter(target => target.checkVisibility() && getComputedStyle(target).display !== "inline")
    .filter(target => !target.matches(".skip, .log a.line, .visually-hidden"))
    .filter(target => {
        const box = (target.type === "checkbox" && target.closest("label") || target).getBoundingClientRect()
        return box.width && (box.height < least || box.width < least)
    })
    .map(target => target.outerHTML.slice(0, 150))"""


def list_faults(page: Page) -> Iterator[str]:
    """The faults of the page that is open: it is not opened again, but its scheme, width and rows change.

    With a query it is a page that was seen in every look, filtered or sorted: axe looks once, and not at contrasts.
    """
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        yield from (f"{page.url}: {width} px: {fault}" for fault in _measure_excess(page))
        times = page.evaluate(BROKEN_TIMES)
        yield from (f"{page.url}: {width} px: a time in two lines: {text}" for text in times[:3])
        words = page.evaluate(BROKEN_WORDS)
        yield from (f"{page.url}: {width} px: a word in two lines: {word}" for word in words[:3])
        if least := TARGETS.get(width):
            small = page.evaluate(SMALL, least)
            yield from (f"{page.url}: {width} px: less than {least} pixels: {target}" for target in small[:3])
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    for width in ENLARGED_WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        faults = [*_measure_excess(page), *(f"leaves its box: {box}" for box in page.evaluate(SPILLING)[:3])]
        yield from (f"{page.url}: text of 200 %, {width} px: {fault}" for fault in faults)
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.evaluate(KEEP_ROWS, ROWS)
    if not page.evaluate("'axe' in window"):
        page.context.add_init_script(AXE_SCRIPT)  # the pages that follow load it without receiving it again
        page.evaluate(AXE_SCRIPT)
    has_query = "?" in page.url
    options = WITHOUT_CONTRAST if has_query else {}
    for scheme, width in LOOKS[:1] if has_query else LOOKS:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        faults = page.evaluate(RUN_AXE, {"resultTypes": ["violations"], **options})
        yield from (f"{page.url}: {scheme}, {width} px: {fault}" for fault in faults)


def _measure_excess(page: Page) -> Iterator[str]:
    excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if excess > 0:
        yield f"{excess} pixels too wide"
