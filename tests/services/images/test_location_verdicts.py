"""The waivers of a recorded verdict that lists name: none if one of them counts no more."""

from dockgate.services.images.location_verdicts import LocationVerdicts
from dockgate.store.gate.verdict_facts import CountedWaiver

OLD = CountedWaiver("waiver", "w-old", "ana", "It is never called.", None, 1, ["CVE-1 in idna 3.6"])
NEW = CountedWaiver("waiver", "w-new", "ben", "It is never called.", None, 1, ["CVE-2 in idna 3.6"])
DOCUMENT = CountedWaiver("vex", "sha256:1", "Vendor", "not present", None, 1, ["CVE-3 in idna 3.6"])


def test_waivers_that_all_count_are_named_and_others_are_not() -> None:
    verdicts = LocationVerdicts({}, {}, (), {"w-new"})
    assert verdicts.select_active([NEW, DOCUMENT]) == [NEW, DOCUMENT]
    assert verdicts.select_active([OLD, NEW]) == ()
