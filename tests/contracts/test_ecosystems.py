"""What every ecosystem promises. They are discovered, so a new one is tested from its first day."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.scanner import ecosystems
from dockgate.scanner.layer_reader import build_trigger_lookup
from dockgate.scanner.model import Distribution
from dockgate.scanner.ports import Ecosystem
from dockgate.services.packages import Purls
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError

KINDS = ecosystems.load()
every = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)

PIECES = sorted(
    {
        *("usr", "lib", "var", "opt", "app", "a", "x.y", "node_modules", "@scope", "site-packages", "vendor", "db"),
        *("conda-meta", "specifications", "composer", "bitnami", "info", "a.json", "a.list", "foo-1.dist-info"),
        *(name for kind in KINDS for name in kind.triggers.names),
        *(f"a{suffix}" for kind in KINDS for suffix in kind.triggers.suffixes),
        *(prefix.strip("/") for kind in KINDS for prefix in kind.triggers.prefixes),
        *(part.strip("/") for kind in KINDS for part in kind.triggers.parts),
        *(path.strip("/") for kind in KINDS for path in kind.database_paths),
    }
)
MAGICS = sorted({b"", b"plain text", *(magic + bytes(60) for kind in KINDS for magic in kind.triggers.magics)})

paths = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("/".join)


def test_names_and_what_they_speak_for_are_unique() -> None:
    for names in ([kind.name for kind in KINDS], *list_attributes("osv_names", "purl_types")):
        assert len(names) == len(set(names)), names


def list_attributes(*names: str) -> list[list[str]]:
    return [[value for kind in KINDS for value in getattr(kind, name)] for name in names]


@every
@given(path=paths, mode=st.sampled_from([0o644, 0o755]), head=st.sampled_from(MAGICS))
def test_wanted_paths_trigger_their_ecosystem(kind: Ecosystem, path: str, mode: int, head: bytes) -> None:
    if kind.should_read(path, 4096, mode, head):
        assert build_trigger_lookup([kind])(path, head), f"{kind.name} wants {path}, and none of its triggers holds"


@every
@given(path=paths, content=st.one_of(st.binary(max_size=200), st.sampled_from(MAGICS)))
def test_every_selected_file_is_read_or_refused(kind: Ecosystem, path: str, content: bytes) -> None:
    if kind.should_read(path, len(content), 0o755, content[:64]):
        try:
            extract = kind.read(path, io.BytesIO(content))
        except UnreadableError:
            return
        assert all(package.path.startswith(path) for package in extract.packages)


@every
@given(version=st.text(max_size=20))
def test_a_version_is_ordered_or_refused(kind: Ecosystem, version: str) -> None:
    try:
        key = kind.make_version_key(version)
    except UncomparableError:
        return
    assert key == kind.make_version_key(version)
    assert not key < kind.make_version_key(version)


@every
def test_a_package_url_becomes_the_package_that_it_names(kind: Ecosystem) -> None:
    reader = Purls(KINDS)
    for purl_type in kind.purl_types:
        namespace = {
            "maven": "org.example/",
            "composer": "acme/",
            "golang": "example.org/x/",
            "swift": "a.example/x/",
            "vscode-extension": "acme/",
            "githubactions": "acme/",
            "bsd": "freebsd/",
        }.get(purl_type, "")
        package = reader.make_package(reader.parse(f"pkg:{purl_type}/{namespace}thing@1.2.3"))
        assert package.version.removeprefix("v") == "1.2.3"
        assert "thing" in package.source_name
        assert package.path == ""
        with pytest.raises(UsageError) as error_info:
            reader.make_package(reader.parse(f"pkg:{purl_type}/{namespace}thing"))
        assert error_info.value.advice


@every
def test_a_distributions_package_is_settled_by_its_distribution(kind: Ecosystem) -> None:
    if not kind.distributions:
        assert not kind.database_paths
        return
    assert kind.database_paths
    reader = Purls(KINDS)
    purl = reader.parse(f"pkg:{kind.purl_types[0]}/thing@1.2.3-1")
    for identity in kind.distributions:
        package = reader.make_package(purl, Distribution(identity, "12.5"))
        assert package.ecosystem
        assert kind.assign_distribution(package, Distribution(identity, "12.5")).ecosystem == package.ecosystem
