"""Sums over components say of every image what the gate says of it alone, and until when."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, inf
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.fleet.fleets import FleetIndex, FleetItem, build_case
from tests.gate.samples import CHECKED, COVERED, ECOSYSTEMS, NOW, RULES, build_policy, make_advisory, make_package
from tests.gate.test_evaluate_properties import NAMES, VERSIONS, draw_advisories
from tests.gate.test_whole_gate_properties import KEY, OLD, SETTINGS, cves

from dockgate.gate import evaluate
from dockgate.gate.definitions.policy import complete_settings
from dockgate.gate.fleet.judge import FleetJudge
from dockgate.gate.fleet.model import FleetWaivers, PlatformResult
from dockgate.gate.model import PlatformVerdict, Policy, Status, VexSigner, VexStatement, VexStatus, Waiver
from dockgate.gate.policy import compute_fingerprint, make_policy
from dockgate.gate.provenance import ProvenanceFacts, ProvenanceStatement
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import CATALOGUES, Advisory, AdvisorySnapshot, Coverage, Severity

KEY_ID = compute_fingerprint(KEY) or ""
BASE, OWN = "sha256:" + "b" * 64, "sha256:" + "c" * 64
DIGESTS = tuple("sha256:" + digit * 64 for digit in "123456")
REPOSITORIES = (None, "team/app", "shop/web")
EXPRESSIONS = (
    "image.platform == 'linux/arm64' && findings.exists(f, f.severity == 'HIGH')",
    "image.unread > 0",
    "now > timestamp('2026-12-10T00:00:00Z') && findings.exists(f, f.severity == 'HIGH')",
    "findings.filter(f, f.package.path.startsWith('app')).size() > 1",
    "findings.filter(f, f.package.in_base).size() > 1",
)
settings_of: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **SETTINGS,
    "exploited": st.tuples(SETTINGS["exploited"], st.booleans()).map(
        lambda settings: {**settings[0], "past_due": settings[1]}
    ),
    "expression": st.one_of(
        SETTINGS["expression"], st.sampled_from(EXPRESSIONS).map(lambda when: {"when": when, "message": "too much"})
    ),
    "provenance": SETTINGS["provenance"].flatmap(
        lambda settings: st.sampled_from((settings, {**settings, "max_age_days": 30}))
    ),
    "base_image": st.one_of(
        SETTINGS["base_image"],
        st.just({"images": [{"name": "debian", "layers": [BASE], "until": "2026-12-15"}]}),
    ),
    "evidence": st.fixed_dictionaries(
        {},
        optional={
            **{
                kind: st.sampled_from(("undetermined", "reject", "warn", "allow"))
                for kind in ("unread", "uncomparable")
            },
            "uncovered": st.sampled_from(("undetermined", "allow")),
            "stale": st.sampled_from(("undetermined", "allow", "reject")),
            "no_feed_for": st.sampled_from((["PyPI"], ["npm", "Debian:13"], ["pkg:deb/debian/a@1.0.0"])),
        },
    ),
}


@st.composite
def draw_policy(draw: st.DrawFn) -> Policy:
    """Some of the rules, once or twice, under random actions."""
    rule_names = draw(st.sets(st.sampled_from(sorted(rule.name for rule in RULES)), min_size=1, max_size=4))
    uses: dict[str, list[dict[str, object]]] = {}
    for rule in RULES:
        if rule.mandatory_settings is not None:
            raw = draw(settings_of[rule.name]) if rule.name in rule_names else rule.mandatory_settings
            uses[rule.name] = [complete_settings(rule, raw)]
        elif rule.name in rule_names:
            actions = st.sampled_from(("reject", "reject", "reject", "warn"))
            uses[rule.name] = [
                complete_settings(rule, {**draw(settings_of[rule.name]), "action": draw(actions)})
                for _ in range(draw(st.integers(1, 2)))
            ]
    return make_policy("random", uses)


@st.composite
def draw_package(draw: st.DrawFn) -> Package:
    name, ecosystem = (
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(("npm", "npm", "npm", "PyPI", "Debian:13", ""))),
    )
    version = draw(st.sampled_from((*VERSIONS, "odd")))
    kinds = {"npm": "npm", "PyPI": "pypi", "Debian:13": "deb/debian", "": "rpm"}
    return Package(
        name,
        version,
        f"pkg:{kinds[ecosystem]}/{name}@{version}",
        ecosystem,
        name,
        version,
        draw(st.sampled_from(("app/x", "app/y", "app/z", "lib/x"))),
        draw(st.sampled_from((BASE, OWN, OWN, None))),
        owner=draw(st.sampled_from((None, None, None, "owner"))),
    )


@st.composite
def draw_inventory(draw: st.DrawFn, digest: str, platform: str) -> Inventory:
    chosen_packages = draw(st.lists(draw_package(), max_size=5, unique_by=lambda item: (item.purl, item.path)))
    unread_lists = st.lists(
        st.sampled_from((Unread("app/x", "It is odd."), Unread("var/lib/dpkg/status", "It is gone.")))
    )
    return Inventory(
        digest,
        platform,
        draw(st.sampled_from((None, Distribution("debian", "13", support_end="2026-12-30")))),
        (BASE, OWN),
        tuple(sorted(chosen_packages, key=lambda item: (item.purl, item.path))),
        tuple(dict.fromkeys(draw(unread_lists))) if draw(st.integers(0, 3)) == 0 else (),
        draw(st.integers(0, 1)),
        draw(st.sampled_from((None, "debian:13"))),
        draw(st.sampled_from((None, "2026-11-01T00:00:00Z", "2018-11-01T00:00:00Z"))),
        draw(st.sampled_from((None, "app", "1000"))),
    )


@st.composite
def draw_items(draw: st.DrawFn) -> list[FleetItem]:
    """Images of one platform, and indexes of two."""
    drawn_images = []
    for number in range(draw(st.integers(1, 3))):
        digest, child = DIGESTS[number], DIGESTS[number + 3]
        parts = [draw(draw_inventory(digest, "linux/amd64"))]
        if draw(st.integers(0, 3)) == 0:
            parts = [draw(draw_inventory(child, "linux/amd64")), draw(draw_inventory(child[:-1] + "a", "linux/arm64"))]
        statement = ProvenanceStatement(
            "sha256:" + "f" * 64, (KEY_ID,), "https://ci.example/builder", "any", finished_at="2026-11-20T00:00:00Z"
        )
        provenance = draw(st.sampled_from((None, ProvenanceFacts(digest, (statement,)), ProvenanceFacts(digest, ()))))
        drawn_images.append(FleetItem(digest, tuple(parts), draw(st.sampled_from(REPOSITORIES)), provenance))
    return drawn_images


ends = st.sampled_from(("2026-11-30T00:00:00Z", "2026-11-01T00:00:00Z", "2027-03-01T00:00:00Z"))
images = st.sampled_from((None, None, DIGESTS[0], DIGESTS[3]))
waivers = st.one_of(
    st.builds(
        Waiver,
        st.uuids().map(str),
        st.just("ana"),
        st.just("It is never called."),
        vulnerability=st.sampled_from((None, "CVE-2024-0", "CVE-2024-1", "GHSA-2024-0")),
        package=st.sampled_from((None, "pkg:npm/a", "pkg:npm/*", "pkg:npm/*@1.0.0")),
        repository=st.sampled_from((None, "team/*", "**")),
        image=images,
        until=ends,
        until_fixed=st.booleans(),
    ),
    st.builds(
        Waiver,
        st.uuids().map(str),
        st.just("ana"),
        st.just("Reviewed by hand."),
        unread=st.sampled_from(("app/x", "app/**", "pkg:npm/a", "pkg:pypi/*", "var/lib/dpkg/status")),
        repository=st.sampled_from((None, "team/app")),
        image=images,
        until=ends,
    ),
    st.builds(
        Waiver,
        st.uuids().map(str),
        st.just("ana"),
        st.just("Reviewed by hand."),
        rule=st.sampled_from(
            ("image_age", "end_of_life", "runs_as_root", "expression", "forbidden_packages", "evidence")
        ),
        violation=st.sampled_from((None, "too much", "pkg:npm/a is forbidden: a 1.0.0")),
        image=images,
        until=ends,
    ),
)
statements = st.builds(
    VexStatement,
    st.sampled_from(("sha256:" + "d" * 64, "sha256:" + "e" * 64)),
    st.just("openvex"),
    st.sampled_from(("Vendor", "Vendor", "Unlisted")),
    st.just(VexSigner("principal:ana")),
    st.sampled_from((("CVE-2024-0",), ("CVE-2024-1",), ("CVE-2024-2", "GHSA-2024-2"))),
    st.sampled_from(VexStatus),
    st.sampled_from(
        (
            (DIGESTS[0],),
            (f"pkg:oci/app@{DIGESTS[3]}",),
            ("pkg:npm/a",),
            ("pkg:npm/b@1.0.0", "pkg:npm/c"),
            ("pkg:pypi/a",),
        )
    ),
    st.sampled_from(((), (), ("pkg:npm/a",), ("pkg:npm/c", "pkg:npm/b"))),
    at=st.sampled_from((None, "2026-11-20T00:00:00Z", "2026-12-20T00:00:00Z")),
)
fleet_waivers = st.builds(
    FleetWaivers,
    st.lists(waivers, max_size=3).map(tuple),
    st.lists(statements, max_size=2).map(tuple),
    st.dictionaries(
        st.sampled_from(DIGESTS),
        st.lists(
            st.one_of(statements, statements.map(lambda entry: replace(entry, products=(DIGESTS[0],)))),
            min_size=1,
            max_size=1,
        ).map(tuple),
        max_size=1,
    ),
)
dates = st.sampled_from(
    (None, "2026-11-23T00:00:00Z", "2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z", "0001-01-01T00:00:00Z")
)


@st.composite
def draw_snapshot(draw: st.DrawFn) -> AdvisorySnapshot:
    ecosystems = st.sampled_from(("npm", "npm", "npm", "PyPI", "Debian:13"))
    published: list[Advisory] = [
        replace(row, published=draw(dates), ecosystem=draw(ecosystems)) for row in draw(draw_advisories())
    ]
    check_times = st.sampled_from((CHECKED, CHECKED, CHECKED, OLD))
    coverage = [Coverage("npm", True, (), draw(check_times))] if draw(st.integers(0, 4)) else []
    if draw(st.booleans()):
        coverage.append(Coverage("PyPI", draw(st.booleans()), ("a",), draw(check_times)))
    if draw(st.booleans()):
        coverage.append(Coverage("Debian:13", True, (), draw(check_times)))
    catalogues = [
        Coverage(name, True, (), draw(check_times)) for name in sorted(draw(st.sets(st.sampled_from(CATALOGUES))))
    ]
    return AdvisorySnapshot(tuple(published), (*coverage, *catalogues), draw(cves))


@dataclass(frozen=True)
class Fleet:
    """A fleet under one policy."""

    items: list[FleetItem]
    policy: Policy
    snapshot: AdvisorySnapshot
    fleet_waivers: FleetWaivers

    def judge_by_components(self, now: str) -> list[tuple[FleetItem, list[PlatformResult] | None]]:
        """What sums over components say of each image."""
        index = FleetIndex(self.items, self.snapshot)
        judge = self._judge(index, now)
        if judge.should_count_packages:
            index = FleetIndex(self.items, self.snapshot, only_findings=False)
            judge = self._judge(index, now)
        results = []
        for item, image in zip(self.items, index.images, strict=True):
            needed_platforms = tuple(
                platform if judge.should_read_inventory(platform.unread_count) else platform._replace(inventory=None)
                for platform in image.platforms
            )
            results.append((item, judge.judge(image._replace(platforms=needed_platforms))))
        return results

    def move_checks(self, now: str) -> "Fleet":
        """The fleet with feeds that were checked just now."""
        coverage = tuple(replace(entry, checked_at=now) for entry in self.snapshot.coverage)
        return replace(self, snapshot=replace(self.snapshot, coverage=coverage))

    def _judge(self, index: FleetIndex, now: str) -> FleetJudge:
        coverage = self.snapshot.coverage
        return FleetJudge(
            self.policy, RULES, ECOSYSTEMS, index.components, index.bundles, self.fleet_waivers, coverage, now
        )

    def judge_alone(self, item: FleetItem, now: str) -> list[tuple[Status, tuple[int, ...], int]]:
        """The status, counts, and number of waived subjects that the gate gives each platform."""
        return [
            (entry.status, tuple(entry.counts[severity] for severity in Severity), len(entry.waived))
            for entry in self._judge_platforms(item, now)
        ]

    def list_violated_rules(self, item: FleetItem, now: str) -> list[set[str]]:
        """The rules that each platform violates by the gate."""
        return [{violation.rule for violation in entry.violations} for entry in self._judge_platforms(item, now)]

    def _judge_platforms(self, item: FleetItem, now: str) -> list[PlatformVerdict]:
        case = build_case(item, self.policy, self.snapshot, self.fleet_waivers, now)
        verdicts = evaluate.judge_platforms(case, ECOSYSTEMS, RULES, should_remediate=False)
        by_image = {verdict.image: verdict for verdict in verdicts}
        return [by_image[inventory.image_digest] for inventory in item.inventories]


fleets = st.builds(Fleet, draw_items(), draw_policy(), draw_snapshot(), fleet_waivers)


@st.composite
def draw_dense_fleet(draw: st.DrawFn) -> Fleet:
    """Fleets of accepted package with accepted finding, so that each exemption and each place decides."""
    versions = st.sampled_from(("1.0.0", "1.0.0", "odd"))
    package_strategy = st.builds(
        lambda version, path, layer, owner: replace(make_package("a", version), path=path, layer=layer, owner=owner),
        versions,
        st.sampled_from(("app/x", "app/y")),
        st.sampled_from((BASE, OWN)),
        st.sampled_from((None, None, "owner")),
    )
    package_lists = st.lists(package_strategy, min_size=1, max_size=2, unique_by=lambda item: item.path)
    drawn_images = []
    for digest in DIGESTS[:2]:
        content = tuple(sorted(draw(package_lists), key=lambda item: item.path))
        base_layers = draw(st.integers(0, 1))
        inventory = Inventory(digest, "linux/amd64", None, (BASE, OWN), content, (), base_layers=base_layers)
        drawn_images.append(FleetItem(digest, (inventory,), draw(st.sampled_from(REPOSITORIES))))
    limits = {"HIGH": draw(st.integers(0, 1)), "scope": draw(st.sampled_from(("image", "base", "own")))}
    under = build_policy(max_findings=limits, vex={"authors": [{"name": "Vendor"}]})
    if draw(st.integers(0, 2)) == 0:
        under = build_policy(forbidden_packages={"packages": ["pkg:npm/a@1.0.0"]})
    exemptions = draw(st.builds(FleetWaivers, st.lists(waivers, max_size=1).map(tuple)))
    statement_strategy = statements.map(lambda entry: replace(entry, vulnerabilities=("CVE-2024-0",), author="Vendor"))
    if draw(st.booleans()):
        attached_statements = {draw(st.sampled_from(DIGESTS[:2])): (draw(statement_strategy),)}
        exemptions = draw(
            st.sampled_from((FleetWaivers((), (draw(statement_strategy),)), FleetWaivers((), (), attached_statements)))
        )
    return Fleet(drawn_images, under, AdvisorySnapshot((make_advisory("CVE-2024-0", "a"),), COVERED), exemptions)


@given(st.one_of(fleets, draw_dense_fleet(), draw_dense_fleet()))
@settings(max_examples=scale_examples(50), deadline=None)
def test_sums_say_what_the_gate_says_of_each_image(fleet: Fleet) -> None:
    for item, results in fleet.judge_by_components(NOW):
        event("by sums" if results is not None else "by the gate")
        if results is not None:
            by_sums = [(result.status, result.counts, result.waived_count) for result in results]
            assert by_sums == fleet.judge_alone(item, NOW)
            assert [set(result.rejecting_rules) for result in results] == fleet.list_violated_rules(item, NOW)


@given(fleets, st.data())
@settings(max_examples=scale_examples(60), deadline=None)
def test_no_status_changes_before_changes_at(fleet: Fleet, data: st.DataObject) -> None:
    """But for the ages of feeds, which are the same for all images."""
    for item, results in fleet.judge_by_components(NOW):
        for position, result in enumerate(results or ()):
            first, end = _count_milliseconds(NOW), ceil(min(result.changes_at, 10**10) * 1000) - 1
            if end < first:
                event("at any time")
                continue
            later = data.draw(st.one_of(st.just(end), st.integers(first, min(end, first + 500 * 86_400_000))))
            event("at some time" if result.changes_at < inf else "never")
            now = format_time(datetime.fromtimestamp(later // 1000, UTC) + timedelta(milliseconds=later % 1000))
            assert (
                fleet.move_checks(now).judge_alone(item, now)[position]
                == fleet.move_checks(NOW).judge_alone(item, NOW)[position]
            )


def _count_milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
