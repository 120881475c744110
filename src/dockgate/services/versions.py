"""Asked directly: the order of versions, so that anyone can hold it against the origin's."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dockgate.scanner import ecosystems
from dockgate.shared.errors import NotFoundError, UncomparableError
from dockgate.vulnerabilities.versions import ordered_as


@dataclass(frozen=True, slots=True)
class ComparedVersions:
    """The order of `first` and `second`: "<", "=", ">", or "?" with the `reason` why they cannot be compared."""

    first: str
    second: str
    order: str
    reason: str = ""


def compare(ecosystem: str, pairs: Iterable[tuple[str, str]]) -> Iterator[ComparedVersions]:
    """Each pair of versions, compared by the ecosystem of this name: OSV's ("Debian", "PyPI") or ours ("dpkg").

    Raises NotFoundError, at once, for a name that is neither.
    """
    return _compared(_key(ecosystem), pairs)


def names() -> tuple[str, ...]:
    """Every name that `compare` knows, sorted; of those that differ by case alone OSV's."""
    kinds = [kind for kind in ecosystems.load() if kind.osv_names]
    ours, theirs = [kind.name for kind in kinds], [name for kind in kinds for name in kind.osv_names]
    called = {name.lower(): name for name in (*ours, *theirs)}
    return tuple(called[name] for name in sorted(called))


def _key(ecosystem: str) -> Callable[[str], Any]:
    kinds = [kind for kind in ecosystems.load() if kind.osv_names]
    for candidate in ordered_as(ecosystem.lower()):
        for kind in kinds:
            if candidate in (name.lower() for name in (kind.name, *kind.osv_names)):
                return kind.version_key
    raise NotFoundError(f"No ecosystem is called {ecosystem!r}.", f"Name one of: {', '.join(names())}.")


def _compared(key: Callable[[str], Any], pairs: Iterable[tuple[str, str]]) -> Iterator[ComparedVersions]:
    for first, second in pairs:
        try:
            first_key, second_key = key(first), key(second)
        except UncomparableError as error:
            yield ComparedVersions(first, second, "?", str(error))
        else:
            yield ComparedVersions(
                first, second, "<" if first_key < second_key else "=" if first_key == second_key else ">"
            )
