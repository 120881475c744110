"""Ruby gems as installed: RubyGems' specifications; and Bundler's lockfiles.

For a gem from git, Bundler replaces the author's specification with one that it writes like RubyGems
(bundler/source/git.rb, `serialize_gemspecs_in`). A fork shares code, and so advisories, with the original.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from dockgate.scanner.formats.content import check_size, decode_text
from dockgate.scanner.formats.order import encode_number
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, build_package, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

# Bytes at the beginning of a specification that must contain name and version; RubyGems writes them first.
HEADER_LIMIT = 64 * 1024
LOCK_LIMIT = 2 * 1024 * 1024  # bytes of a lockfile; one with 1,000 gems has 100,000
VERSION_LIMIT = 1024  # characters

_PATTERN = r"[0-9]+(?:\.[0-9a-zA-Z]+)*+(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*+)?"
_FOLDER = "specifications"
_CHECKOUTS = "bundler/gems/"
_DEPTH = 3  # folders below a checkout in which Bundler looks for specifications ("{,*,*/*}.gemspec")
_LOCKS = ("Gemfile.lock", "gems.locked")
_PLAIN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
# Beginnings of operating systems in a gem's platform (rubygems/platform.rb).
_SYSTEMS = ("darwin", "freebsd", "java", "jruby", "linux", "mingw", "mswin", "openbsd", "solaris")
_FIELDS = ("name", "version", "platform")
_ANY_PLATFORM = "ruby"  # the platform of a gem that runs on all platforms


class Ruby(StandaloneEcosystem):
    """Ruby gems, ecosystem RubyGems."""

    name = "ruby"
    version = 3
    osv_names: tuple[str, ...] = ("RubyGems",)
    purl_types: tuple[str, ...] = ("gem",)
    triggers = Triggers(names=(*_LOCKS, _FOLDER), suffixes=(".gemspec",))
    # Bundler takes the versions from the Gemfile, and upgrades no other gem.
    upgrade_line = UpgradeLine("._-", "bundle update --conservative {words} # {list} or later")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        folder, _, name = path.rpartition("/")
        if name in _LOCKS:
            return True
        if not name.endswith(".gemspec"):
            return name == _FOLDER
        return folder.removesuffix("/default").rpartition("/")[2] == _FOLDER or _is_checkout(folder)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.endswith(_LOCKS):
            check_size(file, LOCK_LIMIT)
            # The lockfile does not separate groups, so development gems count, too.
            return Extract(tuple(_read_lock(path, file)), is_lockfile=True)
        if not path.endswith(".gemspec"):
            return Extract()
        package, folder = _read_specification(path, file)
        parent = path.rpartition("/")[0]
        if _is_checkout(parent):
            return Extract((package,), {package.purl: (f"{parent}/",)})
        if parent.endswith("/default"):
            return Extract((package,))
        home = parent.removesuffix(_FOLDER)
        return Extract((package,), {package.purl: (f"{home}gems/{folder}/",)})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:gem/NAME@VERSION")
        version, platform = _split_platform(purl.version)
        return _make_package(purl.name, version, purl.qualifiers.get("platform", platform or _ANY_PLATFORM), "")

    @override
    def make_version_key(self, version: str) -> bytes:
        """Follow the order of Gem::Version (rubygems/version.rb): letters before digits, missing segments 0.

        Zeros are encoded by what follows them: before letters their count, then the letters; before a number one byte
        each; at the end not at all. An empty version, which RubyGems takes for 0, is refused.
        """
        plain = version.strip(" \t\r\n\f\v")
        if len(plain) > VERSION_LIMIT or not re.fullmatch(_PATTERN, plain):
            raise UncomparableError(f"the gem version {version[:80]!r} is invalid for RubyGems")
        plain = re.sub(r"(?<![^.])[0.]+(?=[a-zA-Z])", "", plain.replace("-", ".pre."), count=1)
        key = b""
        zeros = 0
        for segment in re.findall(r"[0-9]+|[a-zA-Z]+", plain):
            if not segment.strip("0"):
                zeros += 1
            elif segment.isdigit():
                key += b"\x03" * zeros + b"\x04" + encode_number(segment)
                zeros = 0
            else:
                key += b"\x01" + encode_number(str(zeros)) + segment.encode("ascii") + b"\x00"
                zeros = 0
        return key + b"\x02"


ECOSYSTEM: Ecosystem = Ruby()


def _is_checkout(folder: str) -> bool:
    """Return whether Bundler looks in this folder for the specification of a gem from git."""
    parent, checkouts, inner = folder.rpartition(_CHECKOUTS)
    return bool(checkouts) and parent[-1:] in ("", "/") and inner.count("/") < _DEPTH


def _split_platform(version: str) -> tuple[str, str]:
    """Split "1.13.6-x86_64-linux", as Syft joins version and platform; the platform may be empty."""
    number, _, platform = version.partition("-")
    words = platform.lower().replace("_", "-").split("-")
    return (number, platform) if any(word.startswith(_SYSTEMS) for word in words) else (version, "")


def _make_package(name: str, version: str, platform: str, path: str) -> Package:
    purl = write_purl("gem", "", name, version, {"platform": "" if platform == _ANY_PLATFORM else platform})
    return build_package("RubyGems", name, version, purl, path)


# What may follow a literal that is the whole value.
_LITERAL_END = r"(?:\.freeze)?\)?(?:\.freeze)?[ \t]*(?:[;#].*|(?:if|unless)[ \t].*)?\r?$"


def _read_specification(path: str, file: BinaryIO) -> tuple[Package, str]:
    """Return the gem and the name of its folder.

    RubyGems lists gems by the stub line (rubygems/stub_specification.rb) and loads them by the assignments below it,
    which it writes as literals (rubygems/specification.rb, `to_ruby`). The two must agree. Of a longer expression, such
    as a sum, a literal is only a part; and of several assignments Ruby takes the last.
    """
    header = decode_text(file.read(HEADER_LIMIT))
    literal = r"""(?:"([^"\\#]*)"|'([^'\\]*)'|%q\{([^{}\\]*)\})"""
    assigned_values: dict[str, str] = {}
    assignment = rf"^[ \t]*\w+\.(name|version|platform)[ \t]*=[ \t]*(?:Gem::Version\.new\()?{literal}{_LITERAL_END}"
    for match in re.finditer(assignment, header, re.MULTILINE):
        value = match[2] or match[3] or match[4] or ""
        if assigned_values.setdefault(match[1], value) != value:
            raise UnreadableError(f"it assigns two values to {match[1]}")
    declared_values = [
        assigned_values.get("name", ""),
        assigned_values.get("version", ""),
        assigned_values.get("platform", _ANY_PLATFORM),
    ]
    second = header.split("\n", 2)[1:2]
    stub = second[0].split(" ", 5)[2:5] if second and second[0].startswith("# stub: ") else declared_values
    if any(assigned_values.get(field, value) != value for field, value in zip(_FIELDS, stub, strict=False)):
        raise UnreadableError(f"its stub names {' '.join(stub)}, but its specification {' '.join(declared_values)}")
    name, version, platform = stub if len(stub) == len(_FIELDS) else declared_values
    if not name or not version:
        raise UnreadableError(f"it has no {'version' if name else 'name'} within its first {HEADER_LIMIT} bytes")
    folder = f"{name}-{version}" if platform == _ANY_PLATFORM else f"{name}-{version}-{platform}"
    if not _PLAIN_CHARACTERS.issuperset(folder):
        raise UnreadableError(f"{folder!r} is not a legal gem name")
    return _make_package(name, version, platform, path), folder


def _read_lock(path: str, file: BinaryIO) -> Iterator[Package]:
    """Read the gems of the sections GEM and GIT; those of PATH are the project's own.

    GEM may name any server, mostly a mirror of rubygems.org. A gem is indented by four spaces, as "name (version)" or
    "name (version-platform)", its dependencies by six (bundler/lockfile_parser.rb).
    """
    section = ""
    gems: set[tuple[str, str, str]] = set()
    for raw in file:
        line = decode_text(raw).rstrip()
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise UnreadableError("it contains an unresolved merge conflict")
        if line and line[0] != " ":
            section = line
        if section not in ("GEM", "GIT") or line[:4] != "    " or line[4:5] in ("", " "):
            continue
        name, _, version_text = line.strip().rstrip("!").partition(" (")
        version, _, platform = version_text.removesuffix(")").partition("-")
        if not name or not version or not version_text.endswith(")"):
            raise UnreadableError(f"a gem has no version: {line.strip()[:80]!r}")
        gem = (name, version, platform or _ANY_PLATFORM)
        if gem not in gems:
            gems.add(gem)
            yield _make_package(*gem, path)
