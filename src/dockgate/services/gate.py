"""The gate at a terminal: evaluates a scan by a built-in policy or a policy file."""

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
from dockgate.services.image_inventory import ScannedImage
from dockgate.services.local_exceptions import narrow
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
    """Return the verdict on a scanned image and on other scanners' reports, with the `accepted` exceptions.

    `now` is the present time by default. Raises UsageError for a report about another image.
    """
    digests = {scanned.digest, *(external_report.image for external_report in scanned.inventories)}
    for external_report in external_reports:
        if external_report.inventory.image not in digests:
            raise UsageError(
                f"The report of {external_report.source} is about {external_report.inventory.image}, "
                f"not about {scanned.reference}.",
                f"The image is {scanned.digest}. Was another one scanned?",
            )
    at = _text(now)
    inventories = (*scanned.inventories, *(external_report.inventory for external_report in external_reports))
    case = VerdictCase(
        image=scanned.digest,
        policy=policy,
        now=at,
        engine=__version__,
        inventories=scanned.inventories,
        snapshot=advisories.snapshot(scanned.inventories),
        external_reports=external_reports,
        waivers=narrow(accepted, scanned.reference, scanned.digest, inventories, at),
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
    """Return the verdict on what other scanners report about an image that is not scanned here.

    `image` is the digest of the image that `reference` names, and may have several platforms; without it, all reports
    must be about one image. `advisories` add which findings are known to be exploited.
    """
    images = [image] if image else sorted({external_report.inventory.image for external_report in external_reports})
    if len(images) != 1:
        raise UsageError(f"The reports are of several images: {', '.join(images)}.", "Judge one after the other.")
    at = _text(now)
    named = reference or images[0]
    waivers = narrow(
        accepted, named, images[0], (external_report.inventory for external_report in external_reports), at
    )
    case = VerdictCase(images[0], policy, at, __version__, external_reports=external_reports, waivers=waivers)
    if advisories is not None:
        case = replace(case, snapshot=advisories.catalogues(external_reports))
    return GateReport(named, evaluate.judge(case, ecosystems.load(), rules.load()), case=case)


def _text(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def policy_of(name: str) -> Policy:
    """Return the built-in policy with this name, or the policy in this YAML file, named after the file.

    Raises NotFoundError for neither, DefinitionError for a wrong document.
    """
    known_rules = rules.load()
    if name in policies.BUILTIN:
        return policies.builtin_policy(name, known_rules)
    file = Path(name)
    try:
        return policies.read_policy(file.read_text("utf-8"), file.stem, known_rules, name)
    except FileNotFoundError:
        names = ", ".join(policies.BUILTIN)
        raise NotFoundError(f"There is no policy {name!r}.", f"Name a YAML file, or one of: {names}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8: {error}.", "Save the policy as UTF-8.") from error


def read_policy(text: str, file: Path) -> Policy:
    """Return the policy in a file's text, with its own name, or else named after the file. DefinitionError."""
    return policies.read_policy(text, file.stem, rules.load(), str(file))


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of policies."""
    return policies.policy_schema(rules.load())
