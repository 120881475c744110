"""The command line.

One file per command group; `main.py` turns errors into text and exit codes.
"""
