"""Limit the length of what a file says of a package, and require a name."""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter

from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError

# Characters of a package's fields together, without `imports`: each of its findings has them, so that a name of a
# megabyte would take gigabytes. Real ones have some hundred, most of them in the path.
PACKAGE_LIMIT = 2048

_texts_of_package = attrgetter(*[field.name for field in fields(Package) if field.name != "imports"])


def check_lengths(packages: Sequence[Package]) -> None:
    """Raise UnreadableError if a package has no name, or fields longer than PACKAGE_LIMIT.

    No advisory would match a package without a name.
    """
    for package in packages:
        if not package.name:
            raise UnreadableError("it has a package without a name")
        texts = _texts_of_package(package)
        if sum(len(text) for text in texts if text) > PACKAGE_LIMIT:
            raise UnreadableError(
                f"it names a package with more than {PACKAGE_LIMIT:,} characters, which begins with "
                f"{package.name[:60]!r}"
            )
