"""What ecosystems outside distributions have in common: languages, editors, unpackaged programs."""

from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Triggers
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import Purl


class StandaloneEcosystem:
    """Defaults of an ecosystem whose packages belong to no distribution.

    A subclass sets the fields that have no value here, and defines the other methods of `scanner.ports.Ecosystem`.
    """

    name: str
    version: int
    osv_names: tuple[str, ...] = ()
    can_omit_epoch = False
    can_omit_local_label = False
    purl_types: tuple[str, ...]
    distributions: tuple[str, ...] = ()
    database_paths: tuple[str, ...] = ()
    triggers: Triggers

    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        """Return the package unchanged: its name in advisories is the same on every distribution."""
        return package


def check_purl(purl: Purl, form: str, *, namespace: str = "") -> None:
    """Raise UsageError, with `form` as advice, if the package URL lacks a version or its namespace.

    `namespace` is the ecosystem's word for a namespace ("group"), "" if it needs none.
    """
    if not purl.version or (namespace and not purl.namespace):
        missing = namespace if purl.version else "version"
        raise UsageError(f"{purl} has no {missing}.", f"Write it as {form}.")
