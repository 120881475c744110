"""Whether every control of a page is reached by the tabulator, and shows that it has the focus."""

from playwright.sync_api import Page

# How often the tabulator is pressed more than there are controls: a date has three parts and a calendar.
DATE_PARTS = 8
# Keeps the controls that a person can use in a part of a page, and returns how many there are. The tabulator starts
# before them.
LIST_CONTROLS = """part => {
    const selector = "a[href], button, input, select, textarea, summary, [tabindex='0']"
    const isUsable = control => control.checkVisibility() && !control.disabled && control.type !== "hidden"
    const root = document.querySelector(part)
    root.focus()
    window.controls = [...root.querySelectorAll(selector)].filter(isUsable)
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


def list_focus_faults(page: Page, part: str) -> list[str]:
    """Press the tabulator until every control within `part`, a selector, was reached, and list what is wrong."""
    count = page.evaluate(LIST_CONTROLS, part)
    reached_numbers: set[int] = set()
    faults = []
    for _ in range(count + DATE_PARTS):
        page.keyboard.press("Tab")
        number, problems = page.evaluate(DESCRIBE_FOCUS)
        if number >= 0:
            reached_numbers.add(number)
            faults += [f"{page.url}: {page.evaluate(DESCRIBE_CONTROL, number)}: {problem}" for problem in problems]
        if len(reached_numbers) == count:
            break
    missing_numbers = sorted(set(range(count)) - reached_numbers)
    return faults + [
        f"{page.url}: not reached: {page.evaluate(DESCRIBE_CONTROL, number)}" for number in missing_numbers
    ]
