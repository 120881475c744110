"""What lists show of a verdict: counts of the worst platform, and each waiver once with what it excuses."""

from typing import Any

from dockgate.store.gate.verdict_facts import NAMED_SUBJECTS, read_facts


def _make_entry(by: str, number: int | None = None, **fields: Any) -> dict[str, Any]:
    package = {"name": "idna", "version": "3.6"}
    finding = {"finding": {"id": f"CVE-{number}", "package": package}} if number is not None else {}
    return {"kind": "waiver", "by": by, "owner": "ana", "reason": "why", **finding, **fields}


def test_waivers_are_counted_once_for_all_platforms_and_name_the_first_subjects() -> None:
    waived_entries = [_make_entry("w-2", number) for number in range(5)]
    other_entries = [
        _make_entry("w-1", violation="1 HIGH finding", until="2999-01-01"),
        _make_entry("w-3", unread="opt/a.jar"),
    ]
    platforms = [
        {"counts": {"HIGH": 1}, "waived": waived_entries},
        {"counts": {"HIGH": 3}, "waived": [*waived_entries, *other_entries]},
    ]
    facts = read_facts(platforms)
    assert facts.counts["HIGH"] == 3
    assert facts.counts["LOW"] == 0
    first, second, third = facts.waivers
    assert (first.by, first.count, len(first.subjects)) == ("w-2", 5, NAMED_SUBJECTS)
    assert first.subjects[0] == "CVE-0 in idna 3.6"
    assert (second.by, second.until, second.subjects) == ("w-1", "2999-01-01", ["1 HIGH finding"])
    assert (third.by, third.until, third.subjects) == ("w-3", None, ["opt/a.jar"])


def test_a_verdict_on_no_platform_has_no_waivers() -> None:
    assert read_facts([]).waivers == []
