"""The candidates for a comparison with a verdict: any visible one, by its digest or its image's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockgate.gate.model import Verdict
from dockgate.gate.replay.explain import Effect, PlatformFinding
from dockgate.identity.model import Caller
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.web_services import Addresses
from dockgate.shared.digest import read_digest_start
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.records import VerdictRecord
from dockgate.vulnerabilities.model import Finding
from dockgate.web.api.images import list_visible_digests

# Hexadecimal digits of a whole digest.
_WHOLE_DIGITS = 64
# Findings of one kind that a comparison lists.
MAX_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A verdict, or the image of a running service whose newest verdict counts, by its digest."""

    digest: str
    title: str


def list_candidates(
    stored_verdict: Verdict,
    digest: str,
    repository: str | None,
    records: Sequence[VerdictRecord],
    caller: Caller,
    addresses: Addresses,
    store: Store,
) -> Sequence[Candidate]:
    """List what runs of the same image repository, then the other verdicts on the image.

    `records` are all of these.
    """
    services_by_image: dict[str, list[str]] = {}
    for entry in store.services.list_running_images():
        name = entry.reference.strip_registry(addresses.registry)
        if (
            repository
            and name == repository
            and entry.reference.digest != stored_verdict.image
            and caller.can_reach(repository=name)
        ):
            services_by_image.setdefault(entry.reference.digest, []).append(entry.service)
    on_image = [
        Candidate(
            entry.digest, f"{entry.status} by {entry.policy}, {entry.judged_at[:10]} {entry.judged_at[11:16]} UTC"
        )
        for entry in records
        if entry.digest != digest
    ]
    return [
        *(Candidate(image, f"What {', '.join(names)} runs") for image, names in services_by_image.items()),
        *on_image,
    ]


def find_verdict(text: str, policy: str, caller: Caller, store: Store) -> str:
    """Return the digest of the verdict that `text` names: by its own digest, or by its image's.

    The first digits of either are enough. For an image it is the newest verdict by `policy`, or else the newest. Raises
    UsageError for another text and for digits that several have, NotFoundError where the caller sees none.
    """
    start = read_digest_start(text.strip())
    if start is None:
        raise UsageError(
            f"{text.strip()[:80]!r} is not a digest",
            "Give the digest of a verdict or of an image, or at least its first six characters.",
        )
    verdicts = list_visible_digests("verdict", start, caller, store)
    is_whole = len(start) == _WHOLE_DIGITS
    images = [] if len(verdicts) > 1 or (verdicts and is_whole) else list_visible_digests("image", start, caller, store)
    matches = [*verdicts, *images]
    if not matches:
        raise NotFoundError(
            f"no verdict and no image that you can see begins with {start[:12]}",
            "The page of an image lists its verdicts.",
        )
    if len(matches) > 1:
        raise UsageError(f"several digests begin with {start}", "Give more characters.")
    if verdicts:
        return verdicts[0]
    records = ImageVisibility(store, caller).list_verdicts(images[0])
    if not records:
        raise NotFoundError(
            f"there is no verdict on the image {images[0][:19]} yet", "Request an approval of it, or push it again."
        )
    return next((record for record in records if record.policy == policy), records[0]).digest


def describe_effect(effect: Effect) -> Iterator[tuple[str, Sequence[str]]]:
    """Describe what an input changed, by kind: a title with the count, and the first MAX_FINDINGS lines."""
    changed_findings = [
        f"{_describe_finding(change.after, change.platform)}, was {change.before.severity}, "
        f"{_describe_fix(change.before)}"
        for change in effect.changed
    ]
    for noun, verb, lines in (
        ("blocking reason", "added", effect.added_reasons),
        ("blocking reason", "removed", effect.removed_reasons),
        ("finding", "added", _describe_findings(effect.added)),
        ("finding", "removed", _describe_findings(effect.removed)),
        ("finding", "changed", changed_findings),
        ("finding", "newly waived", _describe_findings(effect.newly_waived)),
        ("finding", "no longer waived", _describe_findings(effect.no_longer_waived)),
    ):
        if lines:
            omission = [f"and {len(lines) - MAX_FINDINGS:,} more"] if len(lines) > MAX_FINDINGS else []
            yield f"{format_count(len(lines), noun)} {verb}", [*lines[:MAX_FINDINGS], *omission]


def _describe_findings(entries: Sequence[PlatformFinding]) -> Sequence[str]:
    return [_describe_finding(entry.finding, entry.platform) for entry in entries]


def _describe_finding(finding: Finding, platform: str | None) -> str:
    platform_suffix = f" on {platform}" if platform else ""
    package = f"{finding.package.name} {finding.package.version}"
    return f"{finding.severity} {finding.id} in {package} ({_describe_fix(finding)}){platform_suffix}"


def _describe_fix(finding: Finding) -> str:
    return f"fixed in {finding.fixed}" if finding.fixed else "no fix"
