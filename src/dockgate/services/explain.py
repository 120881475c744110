"""Verdicts judged again and compared, by the rules and ecosystems of this installation."""

from dataclasses import dataclass
from pathlib import Path

from dockgate import __version__
from dockgate.gate import rules
from dockgate.gate.replay import case_file, explain
from dockgate.gate.replay.case_file import RecordedVerdict
from dockgate.gate.replay.explain import Explanation
from dockgate.scanner import ecosystems
from dockgate.shared.errors import UsageError

# Bytes of a case file: that of an image with 20,000 packages has some 20 million.
LIMIT = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Replay:
    """A verdict judged again.

    `digest` is the verdict's; `same` bytes, or what `differs`; `engine` is the version that judged then, `present` this
    one.
    """

    digest: str
    same: bool
    differs: tuple[str, ...]
    engine: str
    present: str


def of_file(file: Path) -> RecordedVerdict:
    """A case file. Raises UsageError for any other."""
    if file.stat().st_size > LIMIT:
        raise UsageError(f"{file} has {file.stat().st_size} bytes; no case has more than {LIMIT}.")
    return case_file.read(file.read_bytes(), str(file))


def replay(recorded: RecordedVerdict) -> Replay:
    """Raises DefinitionError when the policy has a rule that this installation lacks."""
    replayed = case_file.replay(recorded, ecosystems.load(), rules.load())
    return Replay(recorded.digest, not replayed.differences, replayed.differences, recorded.case.engine, __version__)


def compare(first: RecordedVerdict, second: RecordedVerdict) -> Explanation:
    """Compare two recorded verdicts, judged again here."""
    return explain.compare(first, second, ecosystems.load(), rules.load())
