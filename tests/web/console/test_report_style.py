"""The HTML report looks like the console: its colours are the same."""

import re
from importlib.resources import files

from dockgate.reports._html_page import STYLE

_TOKEN = re.compile(r"(--[a-z-]+): (light-dark\([^)]*\)|[^;]+);")


def test_the_report_has_the_consoles_colours_and_fonts() -> None:
    css = (files("dockgate.web.console") / "static" / "console.css").read_text()
    console, report = dict(_TOKEN.findall(css)), dict(_TOKEN.findall(STYLE))
    assert len(report) > 20
    assert {name: value for name, value in report.items() if console.get(name) != value} == {}
