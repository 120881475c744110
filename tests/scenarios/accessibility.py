"""What axe finds on a page in a real browser, by scheme and width, and whether the page fits its window."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urljoin

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Without the windows of the whole browser, it takes a fifth less of the processor.
CHROMIUM = Path(__file__).with_name("chromium_without_netlink.py")
# The scheme and the width in pixels. Another scheme has other contrasts; a narrow window has other elements.
LOOKS = (("light", 1440), ("dark", 360))
# Rules take a time for each element, and the rows of a table look alike.
ROWS = 2
KEEP_ROWS = """count => document.querySelectorAll("tbody").forEach(
    body => [...body.rows].slice(count).forEach(row => row.remove()))"""
DESCRIBE_VIOLATIONS = """
    results => results.violations.map(fault => `${fault.id}: ${fault.nodes[0].html.slice(0, 200)}`)"""
# The address of the window that has axe: each new document would compile it again.
EXAMINER_PATH = "/copy-for-axe"
COPY_PAGE = """() => {
    const copy = document.cloneNode(true)
    copy.querySelectorAll("script").forEach(script => script.remove())
    return `<!doctype html>${copy.documentElement.outerHTML}`
}"""
# Every rule but that of contrasts. None of them reads style sheets, which axe would load once more ("preload").
RUN_AXE = f"""() => axe.run(document, {{
    resultTypes: ["violations"], preload: false, rules: {{"color-contrast": {{enabled: false}}}}
}}).then({DESCRIBE_VIOLATIONS})"""
# Whether an element is visible that was not when this was asked of the page before.
SHOWS_MORE = """() => {
    const seenElements = window.seenElements ??= new Set()
    const count = seenElements.size
    document.querySelectorAll("body *").forEach(element => element.checkVisibility() && seenElements.add(element))
    return seenElements.size > count
}"""
# Contrasts take axe most of its time. It follows from the colours, size and weight of a text, and from what is behind
# it: of texts that are the same in that, axe looks at the first one in its window.
RUN_AXE_ON_CONTRASTS = f"""() => {{
    const backgrounds = new Map([[null, ""]])
    function describeBackground(element) {{
        if (!backgrounds.has(element)) {{
            const {{ backgroundColor, backgroundImage, opacity }} = getComputedStyle(element)
            const own = [backgroundColor, backgroundImage, opacity].join(" ")
            const behind = describeBackground(element.parentElement)
            backgrounds.set(element, own === "rgba(0, 0, 0, 0) none 1" ? behind : `${{behind}}, ${{own}}`)
        }}
        return backgrounds.get(element)
    }}
    function describeLook(element) {{
        const {{ color, fontSize, fontWeight, textShadow }} = getComputedStyle(element)
        const isDisabled = element.matches(":disabled, [aria-disabled=true]")
        return [color, fontSize, fontWeight, textShadow, isDisabled, describeBackground(element)].join(" ")
    }}
    const hasText = element => element.matches("input, select, textarea")
        || [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim())
    const looks = window.examinedLooks ??= new Set()
    const elements = [...document.body.querySelectorAll("*")].filter(element => {{
        if (!hasText(element) || !element.checkVisibility()) return false
        const count = looks.size
        return looks.add(describeLook(element)).size > count
    }})
    const options = {{ resultTypes: ["violations"], runOnly: ["color-contrast"] }}
    return elements.length ? axe.run({{ include: elements }}, options).then({DESCRIBE_VIOLATIONS}) : []
}}"""
WIDTHS = (1440, 360)
ALL_WIDTHS = (1440, 1100, 768, 360)
# Widths at which the text is made twice as large: nothing may leave its box then, or make the page scroll sideways.
ENLARGED_WIDTHS = (360,)
ALL_ENLARGED_WIDTHS = (360, 1440)
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


MEASURE_EXCESS = """() => {
    const excess = document.documentElement.scrollWidth - document.documentElement.clientWidth
    return excess > 0 ? [`${excess} pixels too wide`] : []
}"""
# What is wrong in a window of one width, whose targets are at least so high and wide (None: any size).
LIST_FAULTS_OF_WIDTH = f"""least => [
    ...({MEASURE_EXCESS})(),
    ...({BROKEN_TIMES})().slice(0, 3).map(text => `a time in two lines: ${{text}}`),
    ...({BROKEN_WORDS})().slice(0, 3).map(word => `a word in two lines: ${{word}}`),
    ...(least ? ({SMALL})(least).slice(0, 3).map(target => `less than ${{least}} pixels: ${{target}}`) : []),
]"""
LIST_FAULTS_OF_ENLARGED_TEXT = f"""() => [
    ...({MEASURE_EXCESS})(), ...({SPILLING})().slice(0, 3).map(box => `leaves its box: ${{box}}`)
]"""
# Nothing that is measured depends on the height of the window, and a low one is painted faster.
HEIGHT = 300


def list_faults(page: Page) -> Iterator[str]:
    """The faults of the page that is open: it is not opened again, but its scheme, width and rows change."""
    yield from list_layout_faults(page)
    yield from list_axe_faults(page)


def list_layout_faults(
    page: Page, widths: Sequence[int] = WIDTHS, enlarged_widths: Sequence[int] = ENLARGED_WIDTHS
) -> Iterator[str]:
    """What does not fit the page in windows of several widths. The window is then as wide as it was at first."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for fault in page.evaluate(LIST_FAULTS_OF_WIDTH, TARGETS.get(width)):
            yield f"{page.url}: {width} px: {fault}"
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    for width in enlarged_widths:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for fault in page.evaluate(LIST_FAULTS_OF_ENLARGED_TEXT):
            yield f"{page.url}: text of 200 %, {width} px: {fault}"
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})


def list_axe_faults(page: Page, looks: Sequence[tuple[str, int]] = LOOKS) -> Iterator[str]:
    """What axe finds in a copy of the page, of whose tables only the first rows stay."""
    page.evaluate(KEEP_ROWS, ROWS)
    examiner = _find_examiner(page) or _open_examiner(page)
    examiner.set_content(page.evaluate(COPY_PAGE))
    for scheme, width in looks:
        examiner.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        examiner.set_viewport_size({"width": width, "height": HEIGHT})
        faults = examiner.evaluate(RUN_AXE) if examiner.evaluate(SHOWS_MORE) else []
        for fault in faults + examiner.evaluate(RUN_AXE_ON_CONTRASTS):
            yield f"{page.url}: {scheme}, {width} px: {fault}"


def _find_examiner(page: Page) -> Page | None:
    return next((window for window in page.context.pages if window.url.endswith(EXAMINER_PATH)), None)


def _open_examiner(page: Page) -> Page:
    """A window of the page's origin that loads axe once, for the copies of all pages of a context."""
    examiner = page.context.new_page()
    address = urljoin(page.url, EXAMINER_PATH)
    examiner.route(address, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    examiner.goto(address)
    examiner.unroute(address)
    examiner.evaluate(AXE_SCRIPT)
    return examiner
