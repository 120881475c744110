"""Extensions of Visual Studio Code and its derivatives, by their package.json; VSIX archives.

Derivatives are code-server, openvscode-server, VSCodium and Theia. Any folder can be an `--extensions-dir`, so every
package.json with `engines.vscode` counts.

Nothing states which registry an extension is from, so advisories of both apply. The editor itself is listed by its
`product.json`; no feed covers it.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.npm.package import PACKAGE_LIMIT
from dockgate.scanner.ecosystems.npm.version import make_version_key
from dockgate.scanner.formats.content import read_json_object
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

# Bytes of one archive that are read, packed and unpacked: its directory and its package.json.
READ_LIMIT = 128 * 1024 * 1024

_FILE = "/package.json"
_ARCHIVE_SUFFIX = ".vsix"
_MEMBER = "extension/package.json"
_PRODUCT = "product.json"
_OTHER_ENDINGS = (_ARCHIVE_SUFFIX, _PRODUCT)
_EDITOR = "vscode"
# The editor's publisher for an extension that names none (code-server 4.99.4, out/server-main.js).
_UNDEFINED_PUBLISHER = "undefined_publisher"
_PROGRAMS = {"/.openvscode-server/": "openvscode-server", "/code-server/": "code-server"}


class VSCode(StandaloneEcosystem):
    """Editor extensions, ecosystem VSCode."""

    name = "vscode"
    version = 3
    osv_names: tuple[str, ...] = ("VSCode",)
    purl_types: tuple[str, ...] = ("vscode-extension",)
    triggers = Triggers(names=("package.json", _PRODUCT), suffixes=(_ARCHIVE_SUFFIX,))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if path.endswith(_FILE):
            if "node_modules/" in path:
                return "/extension" in path and _is_usual_path(path)
            return bool(head) or _is_usual_path(path)
        return path.endswith(_OTHER_ENDINGS) and (path.endswith(_ARCHIVE_SUFFIX) or path.rpartition("/")[2] == _PRODUCT)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Read an extension or the editor; other programs' files of these names may be invalid."""
        if path.endswith(_ARCHIVE_SUFFIX):
            return _read_packed(path, file)
        if path.endswith(_FILE) and not _is_usual_path(path):
            # Most are of no extension, with `engines.vscode` plain or escaped: a tenth of the time of parsing.
            raw = file.read(PACKAGE_LIMIT)
            if b'"vscode"' not in raw and b"\\u" not in raw:
                return Extract()
        try:
            content = read_json_object(file, PACKAGE_LIMIT)
            if not path.endswith(_FILE):
                return _read_editor(content, path)
            package = _read_extension(content, path)
            folder = path.removesuffix("package.json")
            return Extract((package,), {package.purl: (folder,)}) if package else Extract()
        except UnreadableError:
            if _is_usual_path(path):
                raise
            return Extract()

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:vscode-extension/PUBLISHER/NAME@VERSION", namespace="publisher")
        return _make_package(purl.namespace, purl.name, purl.version, "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Install the newest version of each, with the program whose folder contains it."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "._-"))
        programs: dict[str, list[tuple[str, str]]] = {}
        for name, upgrade in selected_upgrades:
            path = f"/{upgrade.package.path}"
            program = next((editor for folder, editor in _PROGRAMS.items() if folder in path), "code")
            programs.setdefault(program, []).append((name, upgrade.version))
        lines = []
        for program, names in sorted(programs.items()):
            words = quote_words(f"--install-extension={name}" for name in dict.fromkeys(name for name, _ in names))
            lines.append(f"{program} --force {words} # {', '.join(map(' '.join, names))} or later")
        return (*lines, *remark)

    # The editor compares versions by npm's order.
    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = VSCode()


def _is_usual_path(path: str) -> bool:
    """Return whether it is a package.json in a folder of `extensions`, or in an unpacked VSIX."""
    if not path.endswith(_FILE):
        return False
    parent, _, folder = path.removesuffix(_FILE).rpartition("/")
    return folder == "extension" or parent.endswith("/extensions") or parent == "extensions"


def _make_package(publisher: str, name: str, version: str, path: str) -> Package:
    """Build the package, regardless of case (purl-spec, vscode-extension-definition.json)."""
    identifier = f"{publisher}.{name}"
    purl = write_purl("vscode-extension", publisher.lower(), name.lower(), version)
    return build_package("VSCode", identifier, version, purl, path, source=(identifier.lower(), version))


def _read_packed(path: str, file: BinaryIO) -> Extract:
    """Read a packed extension. Visual Studio's own archives have the same suffix, but no such file."""
    from dockgate.scanner.formats.content import make_budget
    from dockgate.scanner.formats.zip_archive import Archive, Section

    archive = Archive(Section(file, 0, file.seek(0, 2)), (_MEMBER.encode(),), make_budget(READ_LIMIT))
    members = [entry for entry in archive.entries if entry.name == _MEMBER]
    if len(members) > 1:
        raise UnreadableError(f"it contains {len(members)} {_MEMBER}")
    extensions = [
        _read_extension(
            read_json_object(BytesIO(archive.read_all(entry, PACKAGE_LIMIT)), PACKAGE_LIMIT), f"{path}!/{_MEMBER}"
        )
        for entry in members
    ]
    return Extract(tuple(filter(None, extensions)), is_self_contained=True) if any(extensions) else Extract()


def _read_extension(content: Mapping[str, Any], path: str) -> Package | None:
    """Return the extension, None if the package.json is of something else."""
    engines = content.get("engines")
    if not isinstance(engines, dict) or "vscode" not in engines:
        return None
    fields = (content.get("publisher", _UNDEFINED_PUBLISHER), content.get("name"), content.get("version"))
    publisher, name, version = (field if isinstance(field, str) else "" for field in fields)
    if not publisher or not name or not version:
        raise UnreadableError("it does not state its publisher, name and version")
    return _make_package(publisher, name, version, path)


def _read_editor(content: Mapping[str, Any], path: str) -> Extract:
    """Return the editor, undetermined unless a distribution's package owns it."""
    version = content.get("version")
    if "applicationName" not in content or "dataFolderName" not in content or not isinstance(version, str):
        return Extract()
    purl = write_purl("generic", "", _EDITOR, version)
    return Extract((Package(_EDITOR, version, purl, "Visual Studio Code", _EDITOR, version, path),))
