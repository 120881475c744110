"""The stored plan of the next collection: when it is made, and that a collection does not rely on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.collection_site import REPOSITORY, Site
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.services.retention.collection_plans import MAX_IMAGES, RENEWED_AFTER_HOURS, CollectionPlans
from dockgate.shared.errors import UnavailableError


@pytest.fixture(params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    yield site
    site.system.discard()


@pytest.fixture
def plans(site: Site) -> CollectionPlans:
    return site.system.services.upkeep.collection_plans


@limit_to_sqlite("site")
def test_a_plan_is_stored_with_its_time_and_removes_nothing(site: Site, plans: CollectionPlans) -> None:
    assert plans.find() is None
    old = site.push("1", b"old")
    site.advance_clock(days=40)
    new = site.push("2", b"new")
    made_plan = plans.make("ada")
    assert plans.find() == made_plan
    assert (made_plan.made_by, made_plan.image_count, made_plan.is_empty) == ("ada", 1, False)
    assert [image.digest for image in made_plan.images] == [old]
    assert made_plan.kept_counts == {"watched": 1}
    assert made_plan.blob_bytes == site.collection.plan().blob_bytes > 0
    assert site.list_manifests() == {old, new}


@limit_to_sqlite("site")
def test_a_plan_names_some_images_and_counts_all(site: Site, plans: CollectionPlans) -> None:
    for number in range(MAX_IMAGES + 1):
        site.push(str(number), str(number).encode())
    site.advance_clock(days=40)
    plan = plans.make("ada")
    assert (plan.image_count, len(plan.images)) == (MAX_IMAGES + 1, MAX_IMAGES)


@limit_to_sqlite("site")
def test_a_plan_is_made_if_there_is_none_if_it_is_old_and_after_a_collection(
    site: Site, plans: CollectionPlans
) -> None:
    def make_due() -> str:
        plans.make_due()
        plan = plans.find()
        assert plan is not None
        return plan.made_at

    first = make_due()
    site.advance_clock(hours=RENEWED_AFTER_HOURS - 1)
    assert make_due() == first
    site.advance_clock(hours=1)
    second = make_due()
    assert second > first
    site.collect()
    plan = plans.find()
    assert plan is not None
    assert plan.is_outdated
    site.advance_clock(seconds=1)
    third = make_due()
    assert third > second
    site.advance_clock(seconds=1)
    assert make_due() == third


@limit_to_sqlite("site")
def test_a_plan_stays_while_the_registry_does_not_answer(site: Site, plans: CollectionPlans) -> None:
    site.push("1", b"old")
    site.advance_clock(days=40)
    plan = plans.make("ada")

    def refuse(moment: str) -> None:
        raise UnavailableError(f"no answer {moment}", "Try again.")

    site.registry.fault = refuse
    with pytest.raises(UnavailableError):
        plans.make("ada")
    assert plans.find() == plan


@limit_to_sqlite("site")
def test_a_collection_keeps_what_was_used_after_the_plan(site: Site, plans: CollectionPlans) -> None:
    used, never_used = site.push("1", b"used"), site.push("2", b"other")
    site.advance_clock(days=40)
    plan = plans.make("ada")
    assert {image.digest for image in plan.images} == {used, never_used}
    site.store.image_uses.record_pull(REPOSITORY, used, site.now)
    report = site.collect()
    assert [image["digest"] for image in report["images"]] == [never_used]  # type: ignore[attr-defined]
    assert site.list_manifests() == {used}
