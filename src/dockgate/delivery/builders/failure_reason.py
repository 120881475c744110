"""Why a build failed, in one sentence, from the last lines of its output."""

import re

# Characters of a sentence, and of the names in it.
MAX_REASON = 300
_MAX_STEP = 80
_MAX_FILE = 60

# Control sequences of terminals: CSI, OSC, and the others (ECMA-48, 5.3 to 5.6).
_CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])?")
_EXIT_CODE = re.compile(r'Error: building at STEP "(.*)": (?:while running runtime: )?exit status (\d+)')
_STEP_ERROR = re.compile(r'Error: building at STEP "(.*?)": (.*)')
# What podman prints of itself beside the output of a step.
_OWN_LINE = re.compile(r"STEP \d+/\d+: |(?:-->|--> Using cache) [0-9a-f]+$|subprocess exited (?:with status|on) ")


def summarize_failure(dockerfile: str, last_lines: str) -> str:
    """Return the failing step with its exit code, and the last line that it printed."""
    lines = _list_lines(last_lines)
    file = _shorten(dockerfile, _MAX_FILE)
    error = lines.pop() if lines and lines[-1].startswith("Error: ") else None
    printed_lines = [line for line in lines if not _OWN_LINE.match(line)]
    last_line = f": {_shorten(printed_lines[-1], MAX_REASON // 2)}" if printed_lines else ""
    if error is None:
        reason = f"{file} does not build{last_line}"
    elif match := _EXIT_CODE.fullmatch(error):
        reason = f"{file}: {_shorten(match[1], _MAX_STEP)} failed with exit status {match[2]}{last_line}"
    elif match := _STEP_ERROR.fullmatch(error):
        reason = f"{file}: {_shorten(match[1], _MAX_STEP)} failed: {match[2]}"
    else:
        reason = f"{file} does not build: {error.removeprefix('Error: ')}"
    return _shorten(reason, MAX_REASON)


def find_last_line(last_lines: str) -> str | None:
    """Return the last line, shortened; None without lines."""
    lines = _list_lines(last_lines)
    return _shorten(lines[-1], MAX_REASON // 2) if lines else None


def _list_lines(text: str) -> list[str]:
    """The lines as a terminal shows them, without those that show nothing."""
    shown_lines = (_CONTROL_SEQUENCE.sub("", line).rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    cleaned_lines = (
        " ".join("".join(char if char.isprintable() else " " for char in line).split()) for line in shown_lines
    )
    return [line for line in cleaned_lines if line]


def _shorten(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"
