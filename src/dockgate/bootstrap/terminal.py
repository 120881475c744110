"""Lines for people, as the reports make them, for whatever else the command line prints."""

from dockgate.reports._lines import STATUS, aligned, bullets, console, line, plural, show, some
from dockgate.reports._verdict import reasons

__all__ = ["STATUS", "aligned", "bullets", "console", "line", "plural", "reasons", "show", "some"]
