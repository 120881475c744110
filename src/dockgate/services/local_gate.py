"""Run the gate at a terminal: judge scans, and replay recorded verdicts.

Policies, waivers and VEX documents are in files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dockgate import __version__
from dockgate.gate import evaluate, rules, vex_statements
from dockgate.gate.cve_enrichment import collect_cve_names
from dockgate.gate.definitions import policy as policies
from dockgate.gate.definitions import waivers as waiver_documents
from dockgate.gate.model import NO_WAIVERS, ExemptionSet, ExternalReport, Policy, VerdictCase, VexSigner
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.gate.replay import case_file, explain
from dockgate.gate.replay.case_file import RecordedVerdict
from dockgate.gate.replay.explain import Explanation
from dockgate.gate.waivers import select_waivers
from dockgate.reports import GateReport
from dockgate.scanner import ecosystems
from dockgate.scanner.model import Inventory
from dockgate.services.images.image_inventory import ScannedImage
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.ports import AdvisoryReader

# Bytes of a case file: that of an image with 20,000 packages has some 20 million.
CASE_LIMIT = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Replay:
    """A verdict judged again.

    `digest` is the verdict's. `is_same`: judging again gave the same bytes; otherwise `differs` names the parts that do
    not. `engine` is the version that judged then, `present_engine` that of this program.
    """

    digest: str
    is_same: bool
    differs: tuple[str, ...]
    engine: str
    present_engine: str


def judge(
    image: ScannedImage,
    advisories: AdvisoryReader,
    policy: Policy,
    now: datetime | None = None,
    external_reports: tuple[ExternalReport, ...] = (),
    all_waivers: ExemptionSet = NO_WAIVERS,
    provenance: ProvenanceFacts | None = None,
) -> GateReport:
    """Return the verdict on a scanned image and on other scanners' reports.

    `now` is the present time by default. Raises UsageError for a report about another image.
    """
    digests = {image.digest, *(inventory.image_digest for inventory in image.inventories)}
    for external_report in external_reports:
        if external_report.inventory.image_digest not in digests:
            raise UsageError(
                f"the report of {external_report.source} is about {external_report.inventory.image_digest}, "
                f"not about {image.reference}",
                f"Scan {image.digest} again with the other scanner.",
            )
    at = format_time(now or datetime.now(UTC))
    inventories = (*image.inventories, *(report.inventory for report in external_reports))
    case = VerdictCase(
        image=image.digest,
        policy=policy,
        now=at,
        engine=__version__,
        inventories=image.inventories,
        snapshot=advisories.read_snapshot(image.inventories),
        external_reports=external_reports,
        waivers=_select_applicable(all_waivers, image.reference, image.digest, inventories, at),
        provenance=provenance,
    )
    verdict = evaluate.judge(case, ecosystems.load(), rules.load())
    return GateReport(image.reference, verdict, image.inventories, case)


def judge_reported(
    external_reports: tuple[ExternalReport, ...],
    policy: Policy,
    all_waivers: ExemptionSet = NO_WAIVERS,
    reference: str | None = None,
    image: str | None = None,
    advisories: AdvisoryReader | None = None,
) -> GateReport:
    """Return the verdict on what other scanners report about an image that is not scanned here.

    `image` is the digest of the image that `reference` names, and may have several platforms; without it, all reports
    must be about one image. `advisories` add which findings are known to be exploited.
    """
    inventories = [report.inventory for report in external_reports]
    images = [image] if image else sorted({inventory.image_digest for inventory in inventories})
    if len(images) != 1:
        raise UsageError(f"the reports are of several images: {', '.join(images)}", "Judge one after the other.")
    at = format_time(datetime.now(UTC))
    reference = reference or images[0]
    waivers = _select_applicable(all_waivers, reference, images[0], inventories, at)
    case = VerdictCase(images[0], policy, at, __version__, external_reports=external_reports, waivers=waivers)
    if advisories is not None:
        case = replace(case, snapshot=advisories.read_catalogues(collect_cve_names(external_reports)))
    return GateReport(reference, evaluate.judge(case, ecosystems.load(), rules.load()), case=case)


# --- policies ---------------------------------------------------------------------------------------------------------


def load_policy(name: str) -> Policy:
    """Return the built-in policy with this name, or the policy in this YAML file, named after the file.

    Raises NotFoundError for neither, DefinitionError for a wrong document.
    """
    known_rules = rules.load()
    if name in policies.BUILTIN:
        return policies.read_builtin_policy(name, known_rules)
    file = Path(name)
    try:
        return policies.read_policy(_read_text(file), file.stem, known_rules, name)
    except FileNotFoundError:
        names = ", ".join(policies.BUILTIN)
        raise NotFoundError(f"there is no policy {name!r}", f"Name a YAML file, or one of: {names}.") from None


def read_policy(text: str, file: Path) -> Policy:
    """Return the policy in a file's text, with its own name, or else named after the file.

    DefinitionError.
    """
    return policies.read_policy(text, file.stem, rules.load(), str(file))


# --- waivers ----------------------------------------------------------------------------------------------------------


def read_waivers(waiver_files: Sequence[Path], vex_files: Sequence[Path]) -> ExemptionSet:
    """Return the waivers in YAML files, and the statements in VEX documents.

    The user who names a document vouches for it. Raises DefinitionError and UsageError naming file and location.
    """
    waivers_of_files = (waiver_documents.read_waivers(_read_text(file), str(file)) for file in waiver_files)
    waivers = tuple(waiver for waivers_of_file in waivers_of_files for waiver in waivers_of_file)
    if not vex_files:
        return ExemptionSet(waivers)
    from getpass import getuser

    from dockgate.gate import vex_formats

    signer = VexSigner.make_principal(getuser())
    statements = []
    for file in vex_files:
        with file.open("rb") as stream:
            data = stream.read(vex_formats.SIZE_LIMIT + 1)
        statements += [replace(statement, signer=signer) for statement in vex_formats.read(data, str(file))]
    return ExemptionSet(waivers, tuple(statements))


def _select_applicable(
    all_waivers: ExemptionSet, reference: str, digest: str, inventories: Iterable[Inventory], now: str
) -> ExemptionSet:
    """Return the waivers and VEX statements that may apply to this image."""
    all_inventories = tuple(inventories)
    images = list(dict.fromkeys((digest, *(inventory.image_digest for inventory in all_inventories))))
    return ExemptionSet(
        select_waivers(all_waivers.waivers, _get_repository(reference), images, now),
        vex_statements.select_statements(all_waivers.statements, images, all_inventories),
    )


def _get_repository(reference: str) -> str:
    """The repository in its registry, as waivers name it; the reference itself for what lies elsewhere."""
    from dockgate.scanner.images.reference import parse_reference
    from dockgate.scanner.registry_reference import RegistryReference

    try:
        image = parse_reference(reference)
    except UsageError:
        return reference
    return image.repository if isinstance(image, RegistryReference) else reference


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}", "Save it as UTF-8.") from error


# --- recorded verdicts ------------------------------------------------------------------------------------------------


def read_case(file: Path) -> RecordedVerdict:
    """Return the verdict in a case file. Raises UsageError for any other file."""
    if file.stat().st_size > CASE_LIMIT:
        raise UsageError(
            f"{file} has {file.stat().st_size:,} bytes; a case has at most {CASE_LIMIT:,}",
            "Name a file of `dockgate gate IMAGE -o case=FILE`.",
        )
    return case_file.read(file.read_bytes(), str(file))


def replay(recorded_verdict: RecordedVerdict) -> Replay:
    """Judge a recorded verdict again.

    Raises DefinitionError if the policy has a rule that this installation lacks.
    """
    replayed_verdict = case_file.replay(recorded_verdict, ecosystems.load(), rules.load())
    return Replay(
        recorded_verdict.digest,
        not replayed_verdict.differences,
        replayed_verdict.differences,
        recorded_verdict.case.engine,
        __version__,
    )


def compare(first: RecordedVerdict, second: RecordedVerdict) -> Explanation:
    """Compare two recorded verdicts, judged again here."""
    return explain.compare(first, second, ecosystems.load(), rules.load())
