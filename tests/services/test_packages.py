"""Package URLs asked in batches: what a batch leaves behind."""

import gc
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

import pytest

from dockgate.scanner.model import Inventory
from dockgate.services.packages import check_packages
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, AdvisoryText, Coverage, Cve, Range


class TracedAdvisory(Advisory):
    """Leaves a reference that is dead as soon as nothing uses the advisory any more."""

    __slots__ = ("__weakref__",)
    references: ClassVar[list[weakref.ref["TracedAdvisory"]]] = []

    def __new__(cls, *_values: object, **_fields: object) -> "TracedAdvisory":
        advisory = super().__new__(cls)
        cls.references.append(weakref.ref(advisory))
        return advisory


class Reader:
    """A new advisory of idna for each batch."""

    digest = ""

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        events = (("introduced", "0"), ("fixed", "3.7"))
        return AdvisorySnapshot(
            (TracedAdvisory("PYSEC-1", "PyPI", "idna", (Range("ECOSYSTEM", events),)),), self.list_coverage()
        )

    def read_catalogues(self, cve_names: Collection[str]) -> AdvisorySnapshot:
        return AdvisorySnapshot((), ())

    def find_cves(self, names: Iterable[str]) -> Mapping[str, Cve]:
        return {}

    def find_packages(self, names: Sequence[str]) -> Collection[tuple[str, str]] | None:
        return None

    def has_package(self, names: Sequence[str]) -> bool:
        return False

    def list_advisories(self, names: Sequence[str]) -> Sequence[Advisory]:
        return ()

    def list_texts(self, names: Sequence[str]) -> Sequence[AdvisoryText]:
        return ()

    def list_coverage(self) -> tuple[Coverage, ...]:
        return (Coverage("PyPI", True, (), "2026-01-01T00:00:00Z"),)


@pytest.mark.parametrize("version", ["3.6", "what"])
def test_a_batch_leaves_no_advisories_for_the_garbage_collector(version: str) -> None:
    TracedAdvisory.references.clear()
    gc.disable()
    try:
        answers = list(check_packages([[f"pkg:pypi/idna@{version}"] * 2] * 3, Reader()))
        assert [reference() for reference in TracedAdvisory.references] == [None] * 3
    finally:
        gc.enable()
    assert len(answers) == 6
    assert bool(answers[-1].findings) is (version == "3.6")
    assert bool(answers[-1].undetermined) is (version == "what")


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_garbage_collector_keeps_its_state(is_enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        for _ in check_packages([["pkg:pypi/idna@3.6"], ["pkg:pypi/idna@3.7"]], Reader()):
            assert gc.isenabled() is is_enabled
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if before else gc.disable)()
