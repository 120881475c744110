"""Every control of every page is reached by the tabulator, and shows that it has the focus."""

import pytest
from playwright.sync_api import Page
from tests.scenarios.console_walk import walk_pages
from tests.scenarios.watched_browser import OpenPage

pytestmark = [pytest.mark.real, pytest.mark.long]

# How often the tabulator is pressed more than there are controls: a date has three parts and a calendar.
DATE_PARTS = 8
# Keeps the controls that a person can use on a page, and returns how many there are.
LIST_CONTROLS = """() => {
    const selector = "a[href], button, input, select, textarea, summary, [tabindex='0']"
    const isUsable = control => control.checkVisibility() && !control.disabled && control.type !== "hidden"
    window.controls = [...document.querySelectorAll(selector)].filter(isUsable)
    return window.controls.length
}"""
# The number of the control that has the focus, and what is wrong with how it shows that. Nothing may cover it, such as
# a header that stays in its place.
DESCRIBE_FOCUS = """() => {
    const control = document.activeElement
    const style = getComputedStyle(control)
    const faults = []
    // The browser itself marks the part of a date that has the focus.
    const isMarked = control.type === "date" || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
    if (!isMarked) faults.push("no outline")
    const box = control.getClientRects()[0]
    const [x, y] = [box.left + Math.min(box.width, 8) / 2, box.top + Math.min(box.height, 8) / 2]
    const top = document.elementFromPoint(x, y)
    if (!top || !(control.contains(top) || top.contains(control))) faults.push("covered, or outside of the window")
    return [window.controls.indexOf(control), faults]
}"""
DESCRIBE_CONTROL = """number => {
    const control = window.controls[number]
    return `${control.tagName} ${control.name || ""} ${control.textContent.trim().slice(0, 40)}`
}"""


def list_focus_faults(page: Page) -> list[str]:
    """Press the tabulator until every control was reached, and list what is wrong."""
    count = page.evaluate(LIST_CONTROLS)
    reached_numbers: set[int] = set()
    faults = []
    for _ in range(count + DATE_PARTS):
        page.keyboard.press("Tab")
        number, problems = page.evaluate(DESCRIBE_FOCUS)
        if number >= 0:
            reached_numbers.add(number)
            faults += [f"{page.url}: {page.evaluate(DESCRIBE_CONTROL, number)}: {problem}" for problem in problems]
    missing_numbers = sorted(set(range(count)) - reached_numbers)
    return faults + [
        f"{page.url}: not reached: {page.evaluate(DESCRIBE_CONTROL, number)}" for number in missing_numbers
    ]


def test_every_control_is_reached_by_the_tabulator_and_shows_the_focus(open_page: OpenPage) -> None:
    page = open_page("/")
    faults: list[str] = []
    page_count = 0
    for _ in walk_pages(page):
        page_count += 1
        faults += list_focus_faults(page)
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:40])
    assert page_count > 40
