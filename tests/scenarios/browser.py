"""A browser without scripts, for the console's scenarios."""

import re
from html import unescape
from typing import Self

import httpx
from tests.parts import NO_AUTHORITIES
from tests.scenarios.server import ServerSystem

# Start tags of the templates, whose values are all in quotation marks.
START_TAG = re.compile(r"<(form|a)\b([^>]*)>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
FROM_PAGE = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


def remove_word_marks(html: str) -> str:
    """The page without the marks of words that stay in one line (`formats.mark_command`)."""
    return re.sub(r'<span class="whole">([^<]*)</span>', r"\1", html)


class Browser(httpx.Client):
    """A browser: keeps cookies, asks for HTML, and says that forms come from the server's own pages."""

    def __init__(self, server: ServerSystem, token: str = "") -> None:
        headers = {"Accept": "text/html,*/*;q=0.8"}
        super().__init__(base_url=server.url, timeout=30, headers=headers, verify=NO_AUTHORITIES)
        self.token = token

    def __enter__(self) -> Self:
        super().__enter__()
        if self.token:
            assert self.send_form("/signin", token=self.token).status_code == 303
        return self

    def send_form(self, path: str, /, **fields: str) -> httpx.Response:
        return self.post(path, data=fields, headers=FROM_PAGE)


class Forms:
    """The actions of a page's forms that change something, and the texts of its links."""

    def __init__(self, html: str) -> None:
        self.actions: set[str] = set()
        self.links: set[str] = set()
        for tag, text in START_TAG.findall(html):
            values = {name: unescape(value) for name, value in ATTRIBUTE.findall(text)}
            if tag == "form" and values.get("method") == "post":
                self.actions.add(values.get("action", ""))
            if tag == "a" and values.get("href", "").startswith("/"):
                self.links.add(values["href"])
