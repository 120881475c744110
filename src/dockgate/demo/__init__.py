"""The demo of `dockgate demo`: it runs public commands with example files."""
