"""The next steps for an undetermined or rejected verdict. Pure.

Subjects come from images: commands quote them for a shell, and never accept more than the subject.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dockgate.shared.purl import is_purl, strip_qualifiers
from dockgate.vulnerabilities.model import UndeterminedFact

if TYPE_CHECKING:
    from dockgate.gate.model import Verdict

WHOLE_IMAGE = "/"
UNSCANNED_ADVICE = "Fix what the reason names, then scan the image again."
_REBUILD = (
    "Build the image again with docker, podman or buildah, from a base image with a package database. No waiver "
    "accepts an image that cannot be read as a whole: only the policy's rule `evidence` can allow those (`unread`)."
)
_STALE_STEP = "Run `dockgate db update`, or scan the image again where another scanner's report is too old."
_UPGRADE = "Build it again with the upgrades that the verdict names."
_CORRECT = "Correct what the verdict names, and build it again."
# Steps in one sentence of advice.
_ADVICE_STEPS = 3
_NO_DISTRIBUTION = "Build the image from a base image with an os-release file and a package database."


class NextStep(NamedTuple):
    """A sentence of advice, and the command to run, None if there is no command."""

    sentence: str
    command: str | None = None

    @property
    def text(self) -> str:
        """The sentence and the command in one line, for output without markup."""
        return f"{self.sentence} {self.command}" if self.command else self.sentence


def list_next_steps(all_entries: Sequence[UndeterminedFact], image: str) -> tuple[NextStep, ...]:
    """The steps for the undetermined entries of an image (a digest), each once, in order.

    Every entry has at least one step.
    """
    steps: dict[NextStep, None] = {}
    for kind in dict.fromkeys(entry.kind for entry in all_entries):
        entries = [entry for entry in all_entries if entry.kind == kind]
        steps |= dict.fromkeys(_list_steps_of_kind(kind, entries, image))
    return tuple(steps)


def describe_next_steps(entry: UndeterminedFact, image: str) -> str:
    """The next steps of one entry as sentences."""
    return " ".join(step.text for step in list_next_steps((entry,), image))


def advise_on_refusal(verdict: "Verdict") -> str:
    """The next steps as sentences, the first ones if there are many, where a verdict refuses an image."""
    from dockgate.gate.model import Status  # a scan without a gate does not load it

    if verdict.status is Status.REJECTED:
        has_upgrades = any(platform.remediation.upgrades for platform in verdict.platform_verdicts)
        return _UPGRADE if has_upgrades else _CORRECT
    entries = [entry for platform in verdict.platform_verdicts for entry in platform.undetermined]
    steps = list_next_steps(entries, verdict.image)[:_ADVICE_STEPS]
    return " ".join(step.text for step in steps) or UNSCANNED_ADVICE


def _list_steps_of_kind(kind: str | None, entries: Sequence[UndeterminedFact], image: str) -> Iterator[NextStep]:
    yield from (NextStep(entry.advice) for entry in entries if entry.advice)
    remaining_entries = [entry for entry in entries if not entry.advice]
    if kind == "unread":
        yield from _list_steps_for_unread(remaining_entries, image)
    elif kind in ("uncomparable", "uncovered"):
        yield from _list_steps_for_packages(kind, remaining_entries, image)
    elif remaining_entries:
        yield NextStep(_STALE_STEP if kind == "stale" else UNSCANNED_ADVICE)


def _list_steps_for_unread(entries: Sequence[UndeterminedFact], image: str) -> Iterator[NextStep]:
    if any(entry.subject == WHOLE_IMAGE for entry in entries):
        yield NextStep(_REBUILD)
    paths = list(dict.fromkeys(entry.subject for entry in entries if entry.subject != WHOLE_IMAGE))
    if starred_paths := [path for path in paths if "*" in path]:
        yield NextStep(f"Rename or remove {starred_paths[0]}: a waiver would take its * for a pattern.")
    yield from _suggest_waiver([path for path in paths if "*" not in path], "Make it readable", "path", image)


def _list_steps_for_packages(kind: str, entries: Sequence[UndeterminedFact], image: str) -> Iterator[NextStep]:
    if any(entry.subject == WHOLE_IMAGE for entry in entries):
        yield NextStep(_NO_DISTRIBUTION)
    for ecosystem in dict.fromkeys(entry.subject for entry in entries):
        if ecosystem != WHOLE_IMAGE and not is_purl(ecosystem):
            yield NextStep(
                f"Add a feed for {ecosystem} (`dockgate db update`); or list it under `no_feed_for` of the policy's "
                "rule `evidence`; or accept each of its packages with `dockgate waiver add --unread PURL`."
            )
    purls = [strip_qualifiers(entry.subject) for entry in entries if is_purl(entry.subject)]
    first = "Upgrade or remove the package" if kind == "uncomparable" else "Add a feed that covers the package"
    if any("*" in purl for purl in purls):
        yield NextStep(f"{first}: a waiver would take the * in its name for a pattern.")
    yield from _suggest_waiver([purl for purl in dict.fromkeys(purls) if "*" not in purl], first, "package", image)


def _suggest_waiver(subjects: Sequence[str], first: str, noun: str, image: str) -> Iterator[NextStep]:
    """The command that accepts one subject, or a template of it for several."""
    if not subjects:
        return
    import shlex  # not needed by a scan

    argument = shlex.quote(subjects[0]) if len(subjects) == 1 else "PATH" if noun == "path" else "PURL"
    subject_text = "it" if len(subjects) == 1 else f"each of the {len(subjects)} {noun}s"
    yield NextStep(
        f"{first}, or accept {subject_text}:",
        f"dockgate waiver add --unread {argument} --image {image} --until DATE --owner NAME --reason TEXT",
    )
