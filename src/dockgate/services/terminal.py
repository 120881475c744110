"""Lines for people, as the reports make them, for whatever else the command line prints."""

from dockgate.reports._explanation import explanation
from dockgate.reports._lines import aligned, bullets, console, fitted, line, shell_command, show
from dockgate.reports._verdict import headline, inputs, reasons, waived

__all__ = [
    "aligned",
    "bullets",
    "console",
    "explanation",
    "fitted",
    "headline",
    "inputs",
    "line",
    "reasons",
    "shell_command",
    "show",
    "waived",
]
