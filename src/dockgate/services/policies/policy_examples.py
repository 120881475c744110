"""Judge a policy's examples by the gate itself.

Each becomes a case with an inventory and advisories of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dockgate import __version__
from dockgate.gate import evaluate, rules
from dockgate.gate.definitions import examples as definitions
from dockgate.gate.definitions import policy as policies
from dockgate.gate.definitions import waivers
from dockgate.gate.definitions.examples import ExpectedVerdict, LocatedExample
from dockgate.gate.model import (
    ExemptionSet,
    ExternalReport,
    PlatformVerdict,
    Policy,
    VerdictCase,
    VexSigner,
    VexStatement,
    Violation,
    Waiver,
)
from dockgate.gate.policy import compute_fingerprint
from dockgate.gate.provenance import BUILD_TYPE, ProvenanceFacts, ProvenanceStatement
from dockgate.scanner import ecosystems
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.services.packages import Purls
from dockgate.shared import canonical
from dockgate.shared.digest import PLACEHOLDER, compute_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import strip_qualifiers
from dockgate.shared.yaml import Document, Location
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import (
    CATALOGUES,
    Advisory,
    AdvisorySnapshot,
    Coverage,
    Cve,
    Range,
    Rating,
    Severity,
)

IMAGE = PLACEHOLDER
# The two layers of every example's image.
BASE, OWN_IMAGE = "sha256:" + "1" * 64, "sha256:" + "2" * 64
EXTERNAL_SCANNER = "another"
UPLOADER = VexSigner.make_principal("example")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an example: `problems` are whole sentences, none when it passes; `line` is its own."""

    name: str
    line: int
    status: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestedPolicy:
    """A policy with the outcomes of its examples."""

    policy: str
    file: str
    outcomes: tuple[Outcome, ...]

    @property
    def has_passed(self) -> bool:
        """Return whether every example had the expected outcome."""
        return not any(outcome.problems for outcome in self.outcomes)


def test(text: str, file: str) -> TestedPolicy:
    """Judge every example in a policy's file, or in a file that names a policy.

    Raises DefinitionError with the line of what cannot be understood.
    """
    document, examples = definitions.read_examples(text, file)
    policy = _read_policy(document)
    bench = _Bench(policy)
    return TestedPolicy(policy.name, file, tuple(bench.compute_outcome(example) for example in examples))


def _read_policy(document: Document) -> Policy:
    """Return the file's own, or the one that its key `policy` names or holds."""
    known_rules = rules.load()
    if policies.is_document(document):
        return policies.parse_document(document, known_rules)[1]
    for key in document.value:
        if key not in definitions.KEYS:
            raise document.make_error((key,), f"unknown key {key!r}", f"Allowed here: {', '.join(definitions.KEYS)}.")
    name = document.value.get("policy")
    if not isinstance(name, str):
        return policies.parse_rules(document, ("policy",) if "policy" in document.value else (), "policy", known_rules)
    if name in policies.BUILTIN:
        return policies.read_builtin_policy(name, known_rules)
    path = Path(document.name).parent / name
    try:
        return policies.read_policy(path.read_text("utf-8"), path.stem, known_rules, str(path))
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(policies.BUILTIN)
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise document.make_error(
            ("policy",), f"{path}: {reason}", f"Name a policy's file, or one of: {names}."
        ) from None


class _Bench:
    """The verdicts of one policy on its examples."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rules = rules.load()
        self._ecosystems = ecosystems.load()
        self._purls = Purls(self._ecosystems)

    def compute_outcome(self, located_example: LocatedExample) -> Outcome:
        example = located_example.example
        case = self._make_case(located_example)
        (platform_verdict,) = evaluate.judge(
            case, self._ecosystems, self._rules, should_remediate=False
        ).platform_verdicts
        problems = list(_explain_absent_findings(located_example, platform_verdict))
        problems = problems or list(_describe_differences(example.expect, platform_verdict))
        return Outcome(example.name, located_example.line, platform_verdict.status, tuple(problems))

    def _make_case(self, located_example: LocatedExample) -> VerdictCase:
        example = located_example.example
        inventory = self._make_inventory(
            located_example,
            [*_add_locations("findings", example.findings), *_add_locations("packages", example.packages)],
        )
        baselines: dict[str, tuple[Inventory, ...]] = {
            name: (self._make_inventory(located_example, _add_locations(name, packages)),)
            for name, packages in (("running", example.running), ("approved", example.approved))
            if packages is not None
        }
        feeds = example.feeds
        if feeds is None:
            inventory_packages = [
                package
                for inventory_of_case in (
                    inventory,
                    *(inventory_of_case[0] for inventory_of_case in baselines.values()),
                )
                for package in inventory_of_case.packages
            ]
            feeds = [*sorted({package.ecosystem for package in inventory_packages}), *CATALOGUES]
        snapshot = AdvisorySnapshot(
            tuple(self._make_advisory(located_example, index) for index in range(len(example.findings))),
            tuple(Coverage(feed, True, (), located_example.checked_at) for feed in feeds),
            tuple(_make_cves(located_example)),
        )
        case = VerdictCase(IMAGE, self._policy, example.now, __version__, waivers=self._make_waivers(located_example))
        case = replace(case, provenance=_make_provenance(example.provenance))
        if not example.external:
            return replace(case, inventories=(inventory,), snapshot=snapshot, baselines=baselines)
        matches = Matcher(snapshot, self._ecosystems).match(inventory.packages)
        external_report = ExternalReport(
            EXTERNAL_SCANNER, example.now, inventory, matches, missing_fields=tuple(example.missing_fields)
        )
        return replace(case, external_reports=(external_report,), baselines=baselines)

    def _make_inventory(
        self, located_example: LocatedExample, packages: Sequence[tuple[Location, definitions.Package]]
    ) -> Inventory:
        image = located_example.example.image
        implied_layers = int(bool(image.base) or any(definition.layer == "base" for _, definition in packages))
        packages_by_purl: dict[str, Package] = {}
        for location, definition in packages:
            package = self._make_package(located_example, location, definition)
            packages_by_purl.setdefault(package.purl, package)
        return Inventory(
            image=IMAGE,
            platform="linux/amd64",
            distribution=_make_distribution(image),
            layers=(BASE, OWN_IMAGE),
            packages=tuple(sorted(packages_by_purl.values(), key=lambda package: package.purl)),
            unread=tuple(Unread(path, f"{path} cannot be read.") for path in located_example.example.unread),
            base_layers=implied_layers if image.base_layers is None else image.base_layers,
            base=image.base or None,
            created=image.created,
            user=image.user or None,
            diff_ids=tuple(image.diff_ids or ()),
        )

    def _make_package(
        self, located_example: LocatedExample, location: Location, definition: definitions.Package
    ) -> Package:
        try:
            package = self._purls.make_package(
                self._purls.parse(definition.package), _make_distribution(located_example.example.image)
            )
        except UsageError as error:
            raise located_example.make_error((*location, "package"), str(error), error.advice) from None
        if not package.ecosystem:
            raise located_example.make_error(
                (*location, "package"),
                f"which release {definition.package} is of is not known",
                "Say image.distribution, or write ?distro=… at its end.",
            )
        path = f"{package.name}/{package.version}"
        return replace(package, path=path, layer=BASE if definition.layer == "base" else OWN_IMAGE)

    def _make_advisory(self, located_example: LocatedExample, index: int) -> Advisory:
        finding = located_example.example.findings[index]
        package = self._make_package(located_example, ("findings", index), finding)
        fix_events = (("fixed", finding.fixed),) if finding.fixed else ()
        rating = Rating("advisory", finding.severity, finding.score)
        is_unrated = finding.severity is Severity.UNTRIAGED and finding.score is None
        return Advisory(
            id=finding.id,
            ecosystem=package.ecosystem,
            name=package.source_name,
            ranges=(Range("ECOSYSTEM", (("introduced", "0"), *fix_events)),),
            aliases=tuple(finding.aliases),
            ratings=() if is_unrated else (rating,),
            published=finding.published,
            note=finding.note or None,
        )

    def _make_waivers(self, located_example: LocatedExample) -> ExemptionSet:
        example = located_example.example
        example_waivers: list[Waiver] = []
        for index, fields in enumerate(example.waivers):
            location = (*located_example.location, "waivers", index)
            defaults = {"id": f"waiver {index + 1}", "owner": "example", "reason": "example"}
            example_waivers.append(waivers.parse_waiver(located_example.document, location, {**defaults, **fields}))
        statements = tuple(
            VexStatement(
                document=compute_digest(canonical.encode([entry.author, index])),
                format="openvex",
                author=entry.author,
                signer=UPLOADER,
                vulnerabilities=(entry.vulnerability,),
                status=entry.status,
                products=(entry.package,) if entry.package else (),
                justification=entry.justification or None,
                at=example.now,
            )
            for index, entry in enumerate(example.vex)
        )
        return ExemptionSet(tuple(example_waivers), statements)


def _add_locations(name: str, items: Sequence[definitions.Package]) -> list[tuple[Location, definitions.Package]]:
    return [((name, index), item) for index, item in enumerate(items)]


def _make_distribution(image: definitions.Image) -> Distribution | None:
    distribution = image.distribution
    if distribution is None:
        return None
    return Distribution(
        distribution.id,
        distribution.version,
        distribution.name or None,
        tuple(distribution.like),
        distribution.support_end or None,
        distribution.repository or None,
    )


def _make_provenance(provenance: definitions.Provenance | None) -> ProvenanceFacts | None:
    if provenance is None:
        return None
    statements = (
        ProvenanceStatement(
            digest=f"sha256:{at:064x}",
            keys=tuple(compute_fingerprint(key) or key for key in statement.keys),
            builder=statement.builder,
            build_type=BUILD_TYPE,
            source=statement.source or None,
            commit=statement.commit or None,
            bases=tuple(statement.bases),
            finished_at=statement.finished_at,
        )
        for at, statement in enumerate(provenance.statements)
    )
    return ProvenanceFacts(IMAGE, tuple(statements), tuple(provenance.refused), provenance.unavailable)


def _make_cves(located_example: LocatedExample) -> Iterator[Cve]:
    cves: dict[str, Cve] = {}
    for index, finding in enumerate(located_example.example.findings):
        cve = Cve(
            finding.id,
            exploited=finding.exploited or None,
            due=finding.due or None,
            epss=finding.epss,
            percentile=finding.percentile,
        )
        if cves.setdefault(finding.id, cve) != cve:
            raise located_example.make_error(
                ("findings", index),
                f"{finding.id} has conflicting data in two findings",
                "Use the same values in both.",
            )
    yield from cves.values()


def _explain_absent_findings(located_example: LocatedExample, platform_verdict: PlatformVerdict) -> Iterator[str]:
    """Yield the findings of the example that the verdict does not have, each with the probable reason."""
    present_findings = {
        (name, strip_qualifiers(match.package.purl))
        for match in platform_verdict.findings
        for name in (match.id, *match.aliases)
    }
    for index, finding in enumerate(located_example.example.findings):
        if (finding.id, strip_qualifiers(finding.package)) not in present_findings:
            line = located_example.document.find_line((*located_example.location, "findings", index))
            hint = f": is the version below {finding.fixed}, where it is fixed?" if finding.fixed else "."
            yield f"line {line}: {finding.id} does not affect {finding.package}{hint}"


def _describe_differences(expected_verdict: ExpectedVerdict, platform_verdict: PlatformVerdict) -> Iterator[str]:
    if platform_verdict.status is not expected_verdict.status:
        reasons = [
            *(violation.message for violation in platform_verdict.violations),
            *(entry.reason for entry in platform_verdict.undetermined),
        ]
        explanation = f": {'; '.join(reasons)}" if reasons else ""
        yield f"expected {expected_verdict.status}, was {platform_verdict.status}{explanation}"
    for name in ("violations", "warnings", "notes"):
        violations: Sequence[Violation] = getattr(platform_verdict, name)
        yield from _describe_mismatch(
            name, getattr(expected_verdict, name), [(entry.rule, entry.message) for entry in violations]
        )
    undetermined_entries = [(entry.kind or "", entry.reason) for entry in platform_verdict.undetermined]
    yield from _describe_mismatch("undetermined", expected_verdict.undetermined, undetermined_entries)
    waived_entries = [
        (entry.finding.id if entry.finding else entry.violation or "", entry.by) for entry in platform_verdict.waived
    ]
    yield from _describe_mismatch("waived", expected_verdict.waived, waived_entries)


def _describe_mismatch(
    name: str, expected_names: Sequence[str] | None, actual: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Compare what an example expects, None for anything, with what the gate answered.

    `actual` are pairs of a short name, which an expectation may give in full, and a text, of which it may give a part.
    """
    if expected_names is None:
        return
    answers = "; ".join(f"{short_name}: {text}" for short_name, text in actual) or "nothing"
    for part in expected_names:
        if not any(part == short_name or part in text for short_name, text in actual):
            yield f"{name}: expected {part!r}, was {answers}"
    for short_name, text in actual:
        if not any(part == short_name or part in text for part in expected_names):
            yield f"{name}: not expected, {short_name}: {text}"
