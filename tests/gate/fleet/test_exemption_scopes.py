"""An image outside the scope of a waiver or VEX document has the same verdict with it and without it."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.fleet.fleets import FleetItem
from tests.gate.fleet.test_fleet_properties import (
    DIGESTS,
    Fleet,
    draw_dense_fleet,
    fleet_waivers,
    fleets,
    statements,
    waivers,
)
from tests.gate.samples import ECOSYSTEMS, NOW

from dockgate.gate.fleet.exemptions import ExemptionScope, make_statement_scopes, make_waiver_scope
from dockgate.gate.fleet.model import FleetWaivers
from dockgate.gate.model import Waiver
from dockgate.gate.waivers import select_waivers
from dockgate.vulnerabilities.matching import Matcher

added_exceptions = st.one_of(
    waivers.map(lambda waiver: FleetWaivers((waiver,))),
    statements.map(lambda statement: FleetWaivers((), (statement,))),
    st.builds(
        lambda image, statement: FleetWaivers((), (), {image: (statement,)}), st.sampled_from(DIGESTS), statements
    ),
    fleet_waivers,
)


def list_scopes(exemptions: FleetWaivers) -> Iterator[ExemptionScope]:
    yield from map(make_waiver_scope, exemptions.waivers)
    for statement in exemptions.statements:
        yield from make_statement_scopes(statement, None)
    for image, attached_statements in exemptions.attached_statements.items():
        for statement in attached_statements:
            yield from make_statement_scopes(statement, image)


def is_touched(scope: ExemptionScope, item: FleetItem, matcher: Matcher) -> bool:
    """Whether an image is in the scope, looked at alone."""
    digests = {item.digest, *(inventory.image for inventory in item.inventories)}
    if scope.images is not None and scope.images.isdisjoint(digests):
        return False
    if scope.repository is not None and (item.repository is None or not scope.has_repository(item.repository)):
        return False
    findings = [finding for inventory in item.inventories for finding in matcher.match(inventory.packages).findings]
    return not scope.has_finding or any(
        scope.has_package(finding.package)
        and (scope.names is None or not scope.names.isdisjoint((finding.id, *finding.aliases)))
        for finding in findings
    )


def add(current_waivers: FleetWaivers, new: FleetWaivers) -> FleetWaivers:
    statements_by_image = {**current_waivers.attached_statements}
    for image, attached_statements in new.attached_statements.items():
        statements_by_image[image] = (*statements_by_image.get(image, ()), *attached_statements)
    return FleetWaivers(
        (*current_waivers.waivers, *new.waivers), (*current_waivers.statements, *new.statements), statements_by_image
    )


@given(st.one_of(fleets, draw_dense_fleet(), draw_dense_fleet()), added_exceptions)
@settings(max_examples=scale_examples(60), deadline=None)
def test_exemptions_change_only_verdicts_in_their_scopes(fleet: Fleet, exemptions: FleetWaivers) -> None:
    """By the counts of the fleet, too."""
    after = replace(fleet, fleet_waivers=add(fleet.fleet_waivers, exemptions))
    matcher, scopes = Matcher(fleet.snapshot, ECOSYSTEMS), list(list_scopes(exemptions))
    results = zip(fleet.judge_by_components(NOW), after.judge_by_components(NOW), strict=True)
    for (item, before), (_, now) in results:
        statuses_alone = fleet.judge_alone(item, NOW), after.judge_alone(item, NOW)
        if any(is_touched(scope, item, matcher) for scope in scopes):
            event("changed" if statuses_alone[0] != statuses_alone[1] else "touched")
            continue
        event("not touched")
        assert statuses_alone[0] == statuses_alone[1]
        assert fleet.list_violated_rules(item, NOW) == after.list_violated_rules(item, NOW)
        if before is not None and now is not None:
            assert [image._replace(changes_at=0) for image in before] == [image._replace(changes_at=0) for image in now]


@given(waivers, st.sampled_from(("team/app", "shop/web")))
def test_the_waivers_of_repositories_count_in_no_image_without_one(waiver: Waiver, repository: str) -> None:
    limited_waiver = replace(waiver, repository="**", image=None)
    assert select_waivers([limited_waiver], None, (), NOW) == ()
    assert select_waivers([limited_waiver], repository, (), "2026-01-01T00:00:00Z") == (limited_waiver,)
