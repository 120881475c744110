"""Output of the demo: numbered steps, every command before it runs, and results."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dockgate.shared.errors import DockgateError


class DemoError(DockgateError):
    """The demo got an unexpected result."""


class Terminal:
    """A printer and runner of commands with `environment`. Colours only on a terminal."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show_step(self, number: int, title: str) -> None:
        """Print the title of a step."""
        self.say(f"\n{self._paint_text('1', f'{number}. {title}')}")

    def say(self, text: str) -> None:
        """Print a text."""
        print(text, flush=True)  # noqa: T201 - output for a person

    def show_result(self, text: str) -> None:
        """Print a result."""
        self.say(f"   {self._paint_text('32', '✓')} {text}")

    def run(self, *words: str, folder: Path | None = None, codes: Collection[int] = (0,)) -> None:
        """Print and run a command. Raises DemoError if its exit code is not in `codes`."""
        self.say(self._paint_text("36", f"$ {' '.join(shlex.quote(word) for word in words)}"))
        code = subprocess.run(_build_command(words), env=self._environment, cwd=folder, check=False).returncode
        if code not in codes:
            raise DemoError(f"`{shlex.join(words)}` exited with code {code}", "See its output above.")

    def ask(self, *words: str, folder: Path | None = None) -> str:
        """The output of a command that is not printed. Raises DemoError when it fails."""
        result = subprocess.run(
            _build_command(words), env=self._environment, cwd=folder, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise DemoError(f"`{shlex.join(words)}` exited with code {result.returncode}", result.stderr.strip())
        return result.stdout

    def ask_json(self, *words: str) -> Any:
        """The JSON output of a command that is not printed."""
        return json.loads(self.ask(*words))

    def _paint_text(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def _build_command(words: Sequence[str]) -> list[str]:
    """The command; `dockgate` is this installation, not another on PATH."""
    return [sys.executable, "-m", "dockgate", *words[1:]] if words[0] == "dockgate" else list(words)
