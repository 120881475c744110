"""The console's form of states, times and text from outside. Pure."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from markupsafe import Markup, escape

from dockgate.delivery.model import ApprovalState, RunState
from dockgate.delivery.service_model import HealthCheck, TaskState
from dockgate.gate.model import Status
from dockgate.shared.digest import PATTERN, Digest
from dockgate.shared.timestamps import parse_time
from dockgate.shared.wording import shorten_text
from dockgate.store.records import WorkerState
from dockgate.vulnerabilities.model import Severity
from dockgate.web.console.terminal_text import escape_invisible

# Characters that a list shows of a message or of a name from outside.
MAX_BEGINNING = 200
# Where a line may break in a name.
_BREAKS = re.compile(r"(?<=[^/]/)(?=[^/])|(?<=[a-z])(?=[A-Z])")
# A word with a hyphen and the punctuation at it, such as "(CVE-2026-1": most are names.
_HYPHENATED_WORD = re.compile(r"((?<!\S)\S*-\S*)")
# A moment, or a digest or commit, of which people see the first digits.
_LONG_TOKEN = re.compile(r"(\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|\b(?:sha256:)?[0-9a-f]{40,64}\b)")
# A digest in a sentence.
_DIGEST = re.compile(rf"\b({PATTERN})\b")
# A command or name in a sentence.
_CODE = re.compile(r"`([^`]+)`")
# The action that begins the reason of an execution.
_ACTION = re.compile(r"^[^\s:/]+/[^\s:/]+: ")
# Words that begin messages. Others that are written in small letters are names, and stay as they are.
_FIRST_WORDS = frozenset(
    (
        *("a", "an", "another", "artifacts", "authentication", "beyond", "blob", "callbacks", "cannot", "clients"),
        *("comparing", "compressed", "config", "contains", "document", "documents", "download", "every"),
        *("everybody", "execution", "finding", "index", "internal", "it", "its", "layer", "line", "manifest"),
        *("manual", "messages", "more", "name", "neither", "no", "not", "nothing", "only", "package", "page"),
        *("permission", "policy", "principals", "processes", "rejected", "requests", "revision", "secrets", "several"),
        *(
            "something",
            "standard",
            "tasks",
            "texts",
            "that",
            "the",
            "there",
            "this",
            "to",
            "too",
            "two",
            "unexpected",
            "unknown",
        ),
        *("version", "waiving", "what", "write", "wrong", "you"),
    )
)
# Seconds of 365 days.
_YEAR = 365 * 86_400
# Characters of a command whose words are marked; a longer one is read by few.
LONGEST_MARKED_COMMAND = 2000
# Hexadecimal digits of a digest that people see.
DIGEST_LENGTH = 12
# Bars of a severity; None: unknown.
_BARS: dict[Severity, int | None] = {
    Severity.CRITICAL: 4,
    Severity.HIGH: 3,
    Severity.MEDIUM: 2,
    Severity.LOW: 1,
    Severity.INFORMATIONAL: 0,
    Severity.UNTRIAGED: None,
}


# Around text from others. Adding is faster than Markup.format, and escapes in the same way.
_FOREIGN, _END_OF_FOREIGN = Markup('<bdi class="foreign">'), Markup("</bdi>")
# Moments that are remembered: the rows of a list have few different ones.
CACHED_TEXTS = 1024
_moment = lru_cache(maxsize=CACHED_TEXTS)(parse_time)


@dataclass(frozen=True, slots=True)
class Mark:
    """The look of a state: the icon's name, the tone (a class of the style sheet), and the word beside it."""

    icon: str
    tone: str
    word: str


_MARKS: dict[str, Mark] = {
    Status.APPROVED: Mark("circle-check", "good", "Approved"),
    Status.REJECTED: Mark("octagon-x", "bad", "Rejected"),
    Status.UNDETERMINED: Mark("diamond-question", "unknown", "Undetermined"),
    RunState.PENDING: Mark("dot", "off", "Not started"),
    RunState.IN_PROGRESS: Mark("loader-circle", "run", "In progress"),
    RunState.WAITING: Mark("clock", "wait", "Waiting"),
    RunState.SUCCEEDED: Mark("circle-check", "good", "Succeeded"),
    RunState.FAILED: Mark("octagon-x", "bad", "Failed"),
    RunState.STOPPED: Mark("circle-minus", "off", "Stopped"),
    ApprovalState.EXPIRED: Mark("circle-minus", "off", "Expired"),
    ApprovalState.CANCELLED: Mark("circle-minus", "off", "Cancelled"),
    TaskState.PENDING: Mark("loader-circle", "run", "Starting"),
    TaskState.RUNNING: Mark("circle-check", "good", "Running"),
    TaskState.UNHEALTHY: Mark("triangle-alert", "bad", "Unhealthy"),
    TaskState.STOPPED: Mark("circle-minus", "off", "Stopped"),
    "ProbePassed": Mark("circle-check", "good", "Passes"),
    "ProbeFailed": Mark("octagon-x", "bad", "Fails"),
    "DeployFailed": Mark("octagon-x", "bad", "Last deploy failed"),
    "CannotJudge": Mark("diamond-question", "unknown", "Cannot be judged"),
    "Stale": Mark("diamond-question", "unknown", "Stale"),
    "Suspect": Mark("diamond-question", "unknown", "Suspect"),
    "Recovered": Mark("circle-check", "good", "Recovered"),
    "FixFound": Mark("circle-check", "run", "Fix found"),
    "AtRisk": Mark("triangle-alert", "risk", "At risk"),
    "Active": Mark("circle-check", "good", "Active"),
    "Revoked": Mark("circle-minus", "off", "Revoked"),
    "Removed": Mark("circle-minus", "off", "Removed"),
    WorkerState.DRAINING: Mark("clock", "wait", "Draining"),
    WorkerState.ENDING: Mark("loader-circle", "run", "Ending"),
    WorkerState.LOST: Mark("octagon-x", "bad", "Lost"),
}
_UNKNOWN = Mark("diamond-question", "unknown", "Unknown")


def get_mark(state: str) -> Mark:
    """Return the look of a state. Every state that is not known here looks unknown, never good."""
    return _MARKS.get(state, _UNKNOWN)


def count_bars(severity: Severity) -> int | None:
    """Return how many of four bars a severity fills; None for UNTRIAGED."""
    return _BARS[severity]


def shorten_digest(digest: str) -> str:
    """The first digits of a digest, as people compare them."""
    return Digest.parse(digest).encoded[:DIGEST_LENGTH] or digest


def quote_word(text: str) -> str:
    """The text as one word of a command that people copy."""
    return shlex.quote(escape_invisible(text))


def mark_foreign(text: str | None) -> Markup:
    """Text from an image, a commit or another person: isolated, with invisible characters made visible.

    Nothing for None.
    """
    if text is None:
        return Markup()
    return _FOREIGN + escape(escape_invisible(text)) + _END_OF_FOREIGN


def mark_beginning(text: str | None) -> Markup:
    """The first line of foreign text, in a list: at most MAX_BEGINNING characters. Nothing for None."""
    if text is None:
        return Markup()
    return mark_foreign(shorten_text(text.partition("\n")[0], MAX_BEGINNING))


def mark_breakable(text: str | None) -> Markup:
    """Foreign text whose long names may break after a slash and between CamelCase words.

    Names with hyphens, of packages and vulnerabilities, break only if a line is too short for them. Nothing for None.
    """
    if text is None:
        return Markup()
    return _FOREIGN + _insert_breaks(escape_invisible(text)) + _END_OF_FOREIGN


def _insert_breaks(text: str) -> Markup:
    parts = _HYPHENATED_WORD.split(text)  # every second one has a hyphen
    return Markup().join(
        Markup('<span class="whole">{}</span>').format(part)
        if index % 2 and "/" not in part
        else Markup("<wbr>").join(escape(piece) for piece in _BREAKS.split(part))
        for index, part in enumerate(parts)
    )


def mark_command(text: str) -> Markup:
    """A command in which no line ends after the hyphen of a word, as in "-y".

    Its text is unchanged, so that people copy it exactly. Texts of several lines, such as keys, have no marks.
    """
    visible_text = escape_invisible(text)
    if len(text) > LONGEST_MARKED_COMMAND or "\n" in text:
        return escape(visible_text)
    parts = _HYPHENATED_WORD.split(visible_text)  # every second one has a hyphen
    return Markup().join(
        Markup('<span class="whole">{}</span>').format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def render_prose(text: str | None) -> Markup:
    """Foreign text whose parts between backticks are code, and whose digests are short. Nothing for None.

    Commands keep their digests: people copy them.
    """
    if text is None:
        return Markup()
    parts = _CODE.split(escape_invisible(text))  # every second one is code
    marked_parts = (
        Markup("<code>{}</code>").format(part) if index % 2 else _mark_digests(part) for index, part in enumerate(parts)
    )
    return _FOREIGN + Markup().join(marked_parts) + _END_OF_FOREIGN


def _mark_digests(text: str) -> Markup:
    parts = _DIGEST.split(text)  # every second one is a digest
    return Markup().join(_shorten_identifier(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def shorten_rejection(reason: str) -> str:
    """The reason of a rejection without the action and the state, which a page shows beside it."""
    return _ACTION.sub("", reason, count=1).replace(f": {Status.UNDETERMINED.make_summary('')}", ": ", 1)


def shorten_refusal(message: str) -> str:
    """The message of a refused sign-in without what the page's heading says: "You are not signed in"."""
    reason = message.removeprefix("you are not signed in: ")
    return message if reason == message else reason[:1].upper() + reason[1:]


def build_weakness_url(name: str) -> str:
    """The address of a weakness, such as CWE-79, in its catalogue."""
    return f"https://cwe.mitre.org/data/definitions/{name.removeprefix('CWE-')}.html"


def make_sentence(message: str) -> str:
    """A message as a sentence: with a capital letter, unless it begins with a name, and a full stop."""
    first, _, _ = message.partition(" ")
    full_text = message[:1].upper() + message[1:] if first in _FIRST_WORDS else message
    return full_text if full_text.endswith((".", "!", "?", "…")) else f"{full_text}."


@lru_cache(maxsize=CACHED_TEXTS)
def render_time(text: str | None) -> Markup:
    """A moment with its zone, for scripts to localise; "–" without one."""
    moment = parse_time(text) if text else None
    if moment is None:
        return Markup('<span class="muted">–</span>')
    exact, hour = f"{moment:%Y-%m-%d %H:%M:%S} UTC", f"{moment:%H:%M}\N{NO-BREAK SPACE}UTC"
    visible_text = Markup('<span class="nowrap">{}</span> {}').format(f"{moment:%Y-%m-%d}", hour)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, exact, visible_text)


def format_age(text: str | None, now: datetime) -> str:
    """Format how long ago a moment was or how far ahead it is: "3 min ago", "in 6 d".

    Nothing without a moment.
    """
    moment = _moment(text) if text else None
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    return f"{format_span(seconds)} ago" if seconds >= 0 else f"in {format_span(-seconds)}"


def format_span(seconds: float) -> str:
    """A length of time with its largest unit: "40 s", "3 min", "5 h", "6 d", "2 years" from two years on."""
    if seconds >= 2 * _YEAR:
        return f"{seconds // _YEAR:,.0f} years"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def format_duration(start: str | None, finish: str | None, now: datetime) -> str:
    """Format how long something took, or has taken so far: "1m12s". The text is empty before it starts."""
    begin = parse_time(start) if start else None
    if begin is None:
        return ""
    end = (parse_time(finish) if finish else None) or now
    total = max(timedelta(), end - begin)
    minutes, seconds = divmod(int(total.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


def describe_check(check: HealthCheck) -> str:
    """A health check as a sentence."""
    probe = shlex.join(check.command) if check.command else f"GET :{check.http_port}{check.http_path}"
    return f"{probe}, every {check.interval:g} s, at most {check.timeout:g} s, {check.start_period:g} s to start"


def find_field(message: object, fields: Sequence[str]) -> str:
    """The id of the field of a form that an error is about.

    It is the first whose name is in its message, or the first.
    """
    words = str(message).lower()
    return "field-" + next((name for name in fields if name.replace("_", " ").replace("-", " ") in words), fields[0])


def render_audit_text(text: str | None) -> Markup:
    """Foreign text of the audit log: its moments as people read them, and the first digits of its digests."""
    return _FOREIGN + Markup("<br>").join(map(_shorten, escape_invisible(text or "").splitlines())) + _END_OF_FOREIGN


def _shorten(line: str) -> Markup:
    parts = _LONG_TOKEN.split(line)  # every second one is a moment, a digest or a commit
    return Markup().join(
        _shorten_identifier(part) if index % 2 else _insert_breaks(part) for index, part in enumerate(parts)
    )


def _shorten_identifier(part: str) -> Markup:
    if parse_time(part):
        return render_time(part)
    algorithm, colon, digits = part.rpartition(":")
    visible_text = f"{algorithm}{colon}{digits[:DIGEST_LENGTH]}…"
    return Markup('<span class="nowrap" title="{}">{}</span>').format(part, visible_text)


def render_lines(text: str | None) -> Markup:
    """Foreign text with its line breaks."""
    return Markup("<br>").join(escape(escape_invisible(line)) for line in (text or "").splitlines())
