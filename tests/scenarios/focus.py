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
# What controls of a part of a page are, and the elements around them, each form once. Controls that are alike in that
# are reached alike, and have the same outline.
LIST_FORMS = """part => {
    const describe = element => [element.localName, element.className, element.type, element.tabIndex].join(" ")
    const selector = ":is(a[href], button, input, select, textarea, summary)"
    return [...new Set([...document.querySelectorAll(`${part} ${selector}`)].map(
        control => `${describe(control)} in ${describe(control.parentElement)}`))]
}"""
# Notes, whenever a key is pressed, which control has had the focus, and what was wrong with how it showed that.
# Nothing may cover it, such as a header that stays in its place.
NOTE_FOCUS = """() => {
    window.reachedControls = new Set()
    window.focusFaults = []
    window.noteFocus = () => {
        const control = document.activeElement
        const number = window.controls.indexOf(control)
        if (number < 0) return
        window.reachedControls.add(number)
        const style = getComputedStyle(control)
        // The browser itself marks the part of a date that has the focus.
        const hasOutline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0
        if (control.type !== "date" && !hasOutline) window.focusFaults.push([number, "no outline"])
        const box = control.getClientRects()[0]
        const [x, y] = [box.left + Math.min(box.width, 8) / 2, box.top + Math.min(box.height, 8) / 2]
        const top = document.elementFromPoint(x, y)
        if (!top || !(control.contains(top) || top.contains(control)))
            window.focusFaults.push([number, "covered, or outside of the window"])
    }
    document.addEventListener("keydown", window.noteFocus, true)
}"""
# Notes where the focus is now, and returns how many controls were reached.
COUNT_REACHED = "() => { window.noteFocus(); return window.reachedControls.size }"
LIST_FAULTS = """() => [
    ...window.focusFaults,
    ...[...window.controls.keys()].filter(number => !window.reachedControls.has(number)).map(
        number => [number, "not reached"])
].map(([number, fault]) => {
    const control = window.controls[number]
    return `${control.tagName} ${control.name || ""} ${control.textContent.trim().slice(0, 40)}: ${fault}`
})"""


def list_focus_faults(page: Page, part: str) -> list[str]:
    """Press the tabulator until every control within `part`, a selector, was reached, and list what is wrong."""
    count = page.evaluate(LIST_CONTROLS, part)
    page.evaluate(NOTE_FOCUS)
    for press in range(count + DATE_PARTS):
        page.keyboard.down("Tab")  # without its release, it repeats
        if press >= count - 1 and page.evaluate(COUNT_REACHED) == count:
            break
    page.keyboard.up("Tab")
    return [f"{page.url}: {fault}" for fault in page.evaluate(LIST_FAULTS)]


def list_control_forms(page: Page, part: str) -> set[str]:
    """The forms of the controls within `part`, a selector."""
    return set(page.evaluate(LIST_FORMS, part))
