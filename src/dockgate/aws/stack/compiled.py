"""Bytecode for the functions' archive. Lambda's file system is read-only, so that Python would compile our modules anew
at each cold start, which takes longer than everything else that is ours."""

import importlib.util
import json
import marshal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dockgate.core.errors import DockgateError

RUNTIME = (3, 13)
"""the runtime's version of Python, as the template names it"""

_PLACE = "/var/task/"
"""where Lambda unpacks the archive: for tracebacks"""
_UNCHECKED = (1).to_bytes(4, "little")
"""PEP 552: by hash, and never compared with the source"""
_PLAIN = 2
"""marshal's last version without references, whose marks depend on what else the process holds: the same source is the
same bytes"""
_LOADS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from dockgate import ecosystems
from dockgate.aws.functions import handlers
from dockgate.reports import load
ecosystems.load(), load("case"), load("html"), load("json")
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "dockgate"]))
"""


def compiled(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Bytecode, by its name in the archive, of those of its modules that a verdict needs; nothing where this Python is
    of another version than the runtime's, which then compiles by itself.

    With docstrings: a dataclass that has none writes itself one at import, which takes longer than reading it. Raises
    DockgateError when the archive does not import by itself."""
    if sys.version_info[:2] != RUNTIME or sys.implementation.name != "cpython":
        return {}
    return {
        importlib.util.cache_from_source(name, optimization=""): _bytecode(name, members[name])
        for name in _needed(tuple(sorted(members.items())))
    }


@cache
def _needed(members: tuple[tuple[str, bytes], ...]) -> tuple[str, ...]:
    """The members that are imported for a verdict, out of the archive alone."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in members:
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        command = [sys.executable, "-I", "-S", "-B", "-c", _LOADS, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DockgateError(f"The functions' archive does not import: {done.stderr[-2000:]}")
    paths = [name.replace(".", "/") for name in json.loads(done.stdout)]
    wanted = {form for path in paths for form in (f"{path}.py", f"{path}/__init__.py")}
    return tuple(name for name, _ in members if name in wanted)


def _bytecode(name: str, source: bytes) -> bytes:
    code = compile(source, _PLACE + name, "exec", dont_inherit=True, optimize=0)
    return b"".join(
        (importlib.util.MAGIC_NUMBER, _UNCHECKED, importlib.util.source_hash(source), marshal.dumps(code, _PLAIN))
    )
