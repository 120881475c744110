"""The command line: a file per command group, and `main.py`, the one place that turns errors into text and exits."""
