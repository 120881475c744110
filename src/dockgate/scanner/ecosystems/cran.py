"""R packages as installed: the DESCRIPTION in a package's folder; else renv's lockfile.

Any folder can be an R library. The field `Built` exists only in installed packages, not in sources ("Writing R
Extensions", 1.1.1). The packages of R itself are not on CRAN: `base` is R, which no feed covers. Bioconductor
is an ecosystem of its own in OSV's schema, recognised by the repository that the file names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from dockgate.scanner.formats.content import check_size, decode_text, read_json_object
from dockgate.scanner.formats.order import encode_numbers, is_at_most, is_digits, strip_zeros
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

FILE_LIMIT = 1024 * 1024  # bytes of a DESCRIPTION; real ones have a few thousand
LOCK_LIMIT = 8 * 1024 * 1024  # bytes of a renv.lock; renv 1.1, which copies the descriptions, writes 2,000 a package
INT_MAX = 2**31 - 1  # the largest number in a version; R's `numeric_version` makes NA of larger ones

_FILE = "/DESCRIPTION"
_LOCK = "renv.lock"
_FIELDS = ("Package", "Version", "Built", "Priority", "Repository", "git_url")
# The packages of R itself (`tools:::.get_standard_package_names()$base`, and its translations).
_BASE_PACKAGES = frozenset(
    (
        *("base", "compiler", "datasets", "grDevices", "graphics", "grid", "methods", "parallel", "splines", "stats"),
        *("stats4", "tcltk", "tools", "translations", "utils"),
    )
)
_BIOCONDUCTOR = "https://bioconductor.org"
_BIOCONDUCTOR_GIT = "https://git.bioconductor.org/"


class Cran(StandaloneEcosystem):
    """R packages, ecosystems CRAN and Bioconductor."""

    name = "cran"
    version = 1
    osv_names: tuple[str, ...] = ("CRAN", "Bioconductor")
    purl_types: tuple[str, ...] = ("cran",)
    triggers = Triggers(names=("DESCRIPTION", _LOCK))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return path.endswith((_FILE, f"/{_LOCK}")) or path == _LOCK

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Return the package installed in the DESCRIPTION's folder, nothing for a source package."""
        if path.endswith(_LOCK):
            return _read_lock(path, read_json_object(file, LOCK_LIMIT))
        check_size(file, FILE_LIMIT)
        fields = _read_fields(file)
        if not fields.get("Built"):
            return Extract()
        name, version = fields.get("Package", ""), fields.get("Version", "")
        if not name or not version:
            raise UnreadableError(f"it has no {'Version' if name else 'Package'}")
        if fields.get("Priority") == "base" and name in _BASE_PACKAGES:
            # R itself is undetermined unless a distribution's package owns it.
            package = Package("R", version, write_purl("generic", "", "R", version), "R", "R", version, path)
            return Extract((package,)) if name == "base" else Extract()
        repository, git = fields.get("Repository", ""), fields.get("git_url", "")
        is_bioconductor = repository.startswith("Bioconductor") or git.startswith(_BIOCONDUCTOR_GIT)
        package = _make_package(name, version, is_bioconductor, path)
        return Extract((package,), {package.purl: (path.removesuffix("DESCRIPTION"),)})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:cran/NAME@VERSION")
        repository = purl.qualifiers.get("repository_url", "").removeprefix("https://")
        return _make_package(purl.name, purl.version, repository.startswith("bioconductor.org"), "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Install into the old version's library; repositories have the newest only. Locks are locked again."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "."))
        calls: dict[tuple[str, str], dict[str, None]] = {}
        locked_names = []
        for name, upgrade in selected_upgrades:
            library, file, _ = upgrade.package.path.rpartition(_FILE)
            if not file and upgrade.package.path.endswith(_LOCK):
                locked_names.append(f"{name}@{upgrade.version}")
                continue
            library = library.rpartition("/")[0]
            into = f', lib = "/{library}"' if is_plain(library, "/._-") else ""  # else R's default
            calls.setdefault((upgrade.package.ecosystem, into), {})[f'"{name}"'] = None
        lines = []
        for (ecosystem, into), names in sorted(calls.items()):
            function = "BiocManager::install" if ecosystem == "Bioconductor" else "install.packages"
            call = f"{function}(c({', '.join(names)}){into})"
            lines.append(f"Rscript -e {quote_words([call])}")
        advice = (f"# Raise {', '.join(locked_names)}, and lock the packages again.",) if locked_names else ()
        return (*lines, *advice, *remark)

    @override
    def make_version_key(self, version: str) -> bytes:
        """Return the key of two or more numbers, separated by dots or dashes; missing ones are 0.

        That is how R's operators compare a `package_version`. `compareVersion` sorts 1.0 before 1.0.0, but CRAN accepts
        no second release that the operators call equal.
        """
        parts = version.replace("-", ".").split(".")
        if len(parts) < 2 or not all(is_digits(part) and is_at_most(part, INT_MAX) for part in parts):
            raise UncomparableError(f"the R version {version[:80]!r} is not numbers separated by dots and dashes")
        return encode_numbers(strip_zeros(parts))


ECOSYSTEM: Ecosystem = Cran()


def _make_package(name: str, version: str, is_bioconductor: bool, path: str) -> Package:
    purl = write_purl("cran", "", name, version, {"repository_url": _BIOCONDUCTOR if is_bioconductor else ""})
    return build_package("Bioconductor" if is_bioconductor else "CRAN", name, version, purl, path)


def _read_fields(file: BinaryIO) -> dict[str, str]:
    """Read the relevant fields of the file's first record (R's `read.dcf`).

    A line that begins with a blank continues a field, an empty line ends the record. A repeated field is refused: R
    takes the last one, other tools the first.
    """
    fields: dict[str, str] = {}
    key = ""
    for raw in file:
        line = decode_text(raw)
        if not line.strip():
            if fields:
                break
            key = ""
        elif line[0] in " \t":
            if key in _FIELDS:
                fields[key] = f"{fields[key]} {line.strip()}".strip()
        else:
            key, _, value = line.partition(":")
            if key in _FIELDS:
                if key in fields:
                    raise UnreadableError(f"it has two fields {key}")
                fields[key] = value.strip()
    return fields


def _read_lock(path: str, content: Mapping[str, Any]) -> Extract:
    """Read what renv would install (renv's schema "renv.lock"); it lists no packages of R itself."""
    listed_packages = content.get("Packages", {})
    if not isinstance(listed_packages, dict):
        raise UnreadableError("its 'Packages' is not a JSON object")
    packages: list[Package] = []
    unread_parts: list[tuple[str, str]] = []
    for name, entry in listed_packages.items():
        version = entry.get("Version") if isinstance(entry, dict) else None
        if name and isinstance(version, str) and version:
            packages.append(_make_package(name, version, entry.get("Source") == "Bioconductor", path))
        else:
            unread_parts.append((name, "it has no version"))
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_lockfile=True)
