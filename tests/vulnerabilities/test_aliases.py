"""Groups of names of one vulnerability."""

from dockgate.vulnerabilities.aliases import AliasGroups


class CountingName(str):
    """A name that counts how often names are compared."""

    comparisons = 0

    def __ne__(self, name: object) -> bool:
        CountingName.comparisons += 1
        return super().__ne__(name)


def test_names_that_are_joined_in_a_circle_are_one_group() -> None:
    groups = AliasGroups()
    for first, second in (("GHSA-1", "PYSEC-1"), ("PYSEC-1", "CVE-1"), ("CVE-1", "GHSA-1"), ("CVE-2", "CVE-2")):
        groups.join(first, second)
    assert groups.list_groups() == {"CVE-1": {"CVE-1", "GHSA-1", "PYSEC-1"}, "CVE-2": {"CVE-2"}}
    assert groups.find_root("PYSEC-1") == "CVE-1"


def test_a_chain_of_all_records_is_not_walked_for_each_of_them() -> None:
    groups, names = AliasGroups(), [CountingName(f"GHSA-{number:05}") for number in range(3000)]
    for first, second in zip(names[:0:-1], names[-2::-1], strict=True):
        groups.join(first, second)
    assert groups.list_groups() == {names[0]: set(names)}
    assert CountingName.comparisons < 20 * len(names)
