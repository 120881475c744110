"""Lines for people, as the reports make them, for whatever else the command line prints."""

from dockgate.reports._explanation import explanation
from dockgate.reports._lines import STATUS, aligned, bullets, console, line, plural, show, some
from dockgate.reports._verdict import headline, inputs, reasons

__all__ = [
    "STATUS",
    "aligned",
    "bullets",
    "console",
    "explanation",
    "headline",
    "inputs",
    "line",
    "plural",
    "reasons",
    "show",
    "some",
]
