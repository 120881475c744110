"""A person who works with a page by keyboard alone."""

from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

# How often the tabulator is pressed before what is looked for is out of reach.
MOST = 60
# What the link, button or field that has the focus is called.
FOCUSED_TEXTS = """() => {
    const focused = document.activeElement
    return focused === document.body ? [] : [focused.ariaLabel, focused.getAttribute("name"), focused.innerText]
}"""


@dataclass
class Keyboard:
    """A person who presses keys only."""

    page: Page

    def reach(self, name: str) -> None:
        """Press the tabulator until the link, button or field of this name, or of this beginning, has the focus."""
        for _ in range(MOST):
            self.page.keyboard.press("Tab")
            if any(text and " ".join(text.split()).startswith(name) for text in self.page.evaluate(FOCUSED_TEXTS)):
                return
        pytest.fail(f"{name} is not reached on {self.page.url}")

    def press(self, *names: str) -> None:
        for name in names:
            self.reach(name)
            self.enter()

    def enter(self) -> None:
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            self.reach(name)
            self.page.keyboard.press("Control+a")
            self.page.keyboard.insert_text(text)

    def expect_text(self, words: str) -> None:
        expect(self.page.locator("main")).to_contain_text(words)
