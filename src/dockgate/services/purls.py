"""Package URLs as they are written, read into packages by the ecosystem that understands them."""

from collections.abc import Sequence

from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms.purls import parse
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import Purl


class Purls:
    """Reads package URLs. `kinds` are the ecosystems that may be asked."""

    def __init__(self, kinds: Sequence[Ecosystem]) -> None:
        self._kinds = {kind_of: kind for kind in kinds for kind_of in kind.purl_types}

    def parse(self, text: str) -> Purl:
        """Raises UsageError for what is no package URL."""
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(
                f"{text!r} is no package URL: {error}", "Write it as pkg:TYPE/NAMESPACE/NAME@VERSION."
            ) from None

    def knows(self, purl: Purl) -> bool:
        """Whether any ecosystem reads packages of its type."""
        return purl.type in self._kinds

    def package(self, purl: Purl, distribution: Distribution | None = None) -> Package:
        """The package that it names; `distribution` is where it is installed, if the purl does not say.

        Raises UsageError when no ecosystem reads its type, or when it lacks what its ecosystem needs.
        """
        kind = self._kinds.get(purl.type)
        if kind is None:
            types = ", ".join(sorted(self._kinds))
            raise UsageError(f"No packages of the type {purl.type} are read.", f"Types are: {types}.")
        return kind.package_from_purl(purl, distribution)
