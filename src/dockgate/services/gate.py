"""The gate at a terminal: a scan judged by a policy that comes with Dockgate or lies in a file."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dockgate import __version__
from dockgate.gate import evaluate, rules
from dockgate.gate.definitions import policy as policies
from dockgate.gate.model import NO_WAIVERS, ExternalReport, Policy, VerdictCase, Waivers
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.reports import GateReport
from dockgate.scanner import ecosystems
from dockgate.services.local_exceptions import narrow
from dockgate.services.scan import ScannedImage
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.vulnerabilities.ports import AdvisoryReader


def judge(
    scanned: ScannedImage,
    advisories: AdvisoryReader,
    policy: Policy,
    now: datetime | None = None,
    external_reports: tuple[ExternalReport, ...] = (),
    accepted: Waivers = NO_WAIVERS,
    provenance: ProvenanceFacts | None = None,
) -> GateReport:
    """The verdict on what was read, and on what other scanners report of it, as of `now` (the present moment unless
    given), by what is `accepted` and known of its `provenance`. Raises UsageError for a report of another image."""
    ours = {scanned.digest, *(one.image for one in scanned.inventories)}
    for one in external_reports:
        if one.inventory.image not in ours:
            raise UsageError(
                f"{one.source} reports of {one.inventory.image}, which is not {scanned.reference}.",
                f"The image is {scanned.digest}: was another scanned?",
            )
    at = _text(now)
    held = (*scanned.inventories, *(one.inventory for one in external_reports))
    case = VerdictCase(
        image=scanned.digest,
        policy=policy,
        now=at,
        engine=__version__,
        inventories=scanned.inventories,
        snapshot=advisories.snapshot(scanned.inventories),
        external_reports=external_reports,
        waivers=narrow(accepted, scanned.reference, scanned.digest, held, at),
        provenance=provenance,
    )
    verdict = evaluate.judge(case, ecosystems.load(), rules.load())
    return GateReport(scanned.reference, verdict, scanned.inventories, case)


def judge_reported(
    external_reports: tuple[ExternalReport, ...],
    policy: Policy,
    now: datetime | None = None,
    accepted: Waivers = NO_WAIVERS,
    reference: str = "",
    image: str = "",
    advisories: AdvisoryReader | None = None,
) -> GateReport:
    """The verdict on what other scanners report of one image, which nobody reads here: of `image`, a digest, with the
    platforms in it, which `reference` names; without them of the one that all of the reports are of. `advisories` say
    which of the findings are known to be exploited, where the reports do not."""
    images = [image] if image else sorted({one.inventory.image for one in external_reports})
    if len(images) != 1:
        raise UsageError(f"The reports are of several images: {', '.join(images)}.", "Judge one after the other.")
    at = _text(now)
    named = reference or images[0]
    held = narrow(accepted, named, images[0], (one.inventory for one in external_reports), at)
    case = VerdictCase(images[0], policy, at, __version__, external_reports=external_reports, waivers=held)
    if advisories is not None:
        case = replace(case, snapshot=advisories.catalogues(external_reports))
    return GateReport(named, evaluate.judge(case, ecosystems.load(), rules.load()), case=case)


def _text(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def policy_of(given: str) -> Policy:
    """The policy of this name, or in this YAML file, which is then called as the file is without its suffix.

    Raises NotFoundError for neither, DefinitionError for a wrong document.
    """
    held = rules.load()
    if given in policies.BUILTIN:
        return policies.builtin_policy(given, held)
    file = Path(given)
    try:
        return policies.read_policy(file.read_text("utf-8"), file.stem, held, given)
    except FileNotFoundError:
        names = ", ".join(policies.BUILTIN)
        raise NotFoundError(f"There is no policy {given!r}.", f"Name a YAML file, or one of: {names}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{given} is not UTF-8: {error}.", "Save the policy as UTF-8.") from error


def read_policy(text: str, file: Path) -> Policy:
    """The policy in a file's text, called as the file is without its suffix, or as it calls itself. DefinitionError."""
    return policies.read_policy(text, file.stem, rules.load(), str(file))


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of policies."""
    return policies.policy_schema(rules.load())
