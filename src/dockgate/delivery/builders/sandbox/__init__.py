"""The box that builds run in: namespaces, limits, a network of its own, no credentials.

`runner.py` is the interface, `sandbox.py` the host's side of the box, `unboxed.py` its replacement without a box. The
program `box` is `box.py` with `box_root.py`, `seccomp.py` and `system.py`. `cgroups.py` and `network.py` set limits,
`output.py` reads what a build prints.
"""
