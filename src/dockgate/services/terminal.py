"""The functions of the reports that print lines for people, for the command line."""

from dockgate.reports._explanation_lines import show_explanation
from dockgate.reports._lines import align, bullets, console, fit, line, shell_command, show
from dockgate.reports._verdict_lines import headline, show_inputs, show_reasons, show_waived

__all__ = [
    "align",
    "bullets",
    "console",
    "fit",
    "headline",
    "line",
    "shell_command",
    "show",
    "show_explanation",
    "show_inputs",
    "show_reasons",
    "show_waived",
]
