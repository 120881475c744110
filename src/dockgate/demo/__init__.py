"""The demo: a story played by `dockgate demo` through the public commands, and the files that a user would write."""
