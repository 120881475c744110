"""Scenarios: servers with what they talk to, from outside. Many of these modules are also processes of their own."""

import gc

# As in `dockgate.cli.main`: a fifth of a process's start would go into looking for garbage among imported modules.
gc.set_threshold(20_000, 20, 20)
