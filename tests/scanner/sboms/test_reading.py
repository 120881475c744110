"""Bills of materials of others, and what they may hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dockgate.scanner import ecosystems, sboms
from dockgate.scanner.model import Distribution, Inventory, Unread
from dockgate.shared.errors import UsageError

DATA = Path(__file__).parent / "data"
KINDS = ecosystems.load()

Read = Callable[[Any], Inventory]


NO_PACKAGE = (Unread("/", "The document names no package."),)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a document, which is written first unless it is bytes already."""

    def call(document: Any) -> Inventory:
        path = tmp_path / "document.json"
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return sboms.read(path, KINDS).inventories[0]

    return call


def make_cyclonedx(*components: Any, **fields: Any) -> dict[str, Any]:
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": list(components), **fields}


def make_spdx(*packages: Any, **fields: Any) -> dict[str, Any]:
    return {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": list(packages), **fields}


def make_spdx_package(name: str, purl: str = "", **fields: Any) -> dict[str, Any]:
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
    return {"SPDXID": f"SPDXRef-{name}", "name": name, "externalRefs": [reference] if purl else [], **fields}


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
@pytest.mark.parametrize("tool", ["syft", "trivy"])
def test_what_syft_and_trivy_write_is_judged_by_source_package_and_release(tool: str, form: str) -> None:
    inventory = sboms.read(DATA / f"{tool}.{form}.json", KINDS).inventories[0]
    assert inventory.unread == ()
    result = {
        package.name: (package.version, package.ecosystem, package.source_name, package.source_version)
        for package in inventory.packages
    }
    assert result.pop("left-pad", None) == (("1.3.0", "npm", "left-pad", "1.3.0") if tool == "trivy" else None)
    assert result == {
        "bsdutils": ("1:2.41.5-0+deb13u1", "Debian:13", "util-linux", "2.41.5-0+deb13u1"),
        "libc6": ("2.41-12+deb13u5", "Debian:13", "glibc", "2.41-12+deb13u5"),
        "libuuid1": ("2.41.5-0+deb13u1", "Debian:13", "util-linux", "2.41.5-0+deb13u1"),
        "markupsafe": ("3.0.3", "PyPI", "markupsafe", "3.0.3"),
        "perl-base": ("5.40.1-6+deb13u1", "Debian:13", "perl", "5.40.1-6+deb13u1"),
        "tar": ("1.35+dfsg-3.1", "Debian:13", "tar", "1.35+dfsg-3.1"),
    }
    assert inventory.distribution
    assert inventory.distribution.id == "debian"
    assert inventory.image_digest.startswith("sha256:"), "without an image's digest the document's stands"


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        ({"type": "library", "name": "x", "version": "1"}, "x 1, which cannot be judged: it has no package URL"),
        ({"type": "library", "name": "x", "purl": "pkg:cocoapods/x@1"}, "packages of the type cocoapods"),
        ({"type": "library", "name": "x", "purl": "pkg:pypi/x"}, "it has no version"),
        ({"type": "library", "name": "x", "purl": "not a purl"}, "not a purl is not a package URL"),
        ({"type": "application", "group": "g", "name": "x"}, "The document names g/x"),
        ({"name": 5, "purl": ["pkg:pypi/x@1"]}, "a component without a name"),
    ],
)
def test_a_component_that_cannot_be_understood_is_unread(read: Read, component: dict[str, Any], reason: str) -> None:
    inventory = read(make_cyclonedx(component))
    assert inventory.packages == ()
    (entry,) = inventory.unread
    assert reason in entry.reason


@pytest.mark.parametrize("kind", ["file", "data", "machine-learning-model", "cryptographic-asset", "container"])
def test_sbom_components_that_are_not_packages_are_left_out(read: Read, kind: str) -> None:
    inventory = read(make_cyclonedx({"type": kind, "name": "x"}))
    assert (inventory.packages, inventory.unread) == ((), NO_PACKAGE)


@pytest.mark.parametrize("kind", ["file", "data", "machine-learning-model", "cryptographic-asset", "container"])
def test_what_has_a_package_s_url_is_a_package_whatever_it_is_called(read: Read, kind: str) -> None:
    purl = "pkg:npm/lodash@4.17.20"
    assert [package.purl for package in read(make_cyclonedx({"type": kind, "name": "x", "purl": purl})).packages] == [
        purl
    ]
    document = make_spdx(
        make_spdx_package("x", purl, primaryPackagePurpose="CONTAINER" if kind == "container" else "FILE")
    )
    assert [package.purl for package in read(document).packages] == [purl]


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_image_is_no_package_though_it_has_a_url(read: Read, kind: str) -> None:
    purl = f"pkg:{kind}/app@1"
    assert read(make_cyclonedx({"type": "container", "name": "x", "purl": purl})).unread == NO_PACKAGE
    assert read(make_spdx(make_spdx_package("x", purl, primaryPackagePurpose="CONTAINER"))).unread == NO_PACKAGE


def test_a_group_of_trivys_is_no_package(read: Read) -> None:
    properties = [{"name": "aquasecurity:trivy:Class", "value": "lang-pkgs"}]
    result = read(make_cyclonedx({"type": "application", "name": "package-lock.json", "properties": properties}))
    assert result.unread == NO_PACKAGE


def test_the_library_that_a_document_is_about_is_a_package_of_it(read: Read) -> None:
    document = make_cyclonedx()
    document["metadata"] = {"component": {"type": "library", "name": "lodash", "purl": "pkg:npm/lodash@4.17.20"}}
    assert [package.purl for package in read(document).packages] == ["pkg:npm/lodash@4.17.20"]


def test_the_application_that_a_document_is_about_is_one_where_it_has_a_version(read: Read) -> None:
    root = {"type": "application", "name": "app", "purl": "pkg:golang/example.com/app@v1.2.0"}
    assert [package.name for package in read(make_cyclonedx(metadata={"component": root})).packages] == [
        "example.com/app"
    ]
    root["purl"] = "pkg:npm/app"
    assert read(make_cyclonedx(metadata={"component": root})).unread == NO_PACKAGE


@pytest.mark.parametrize("name", ["R", "r"])
def test_alpine_s_r_is_found_though_the_specification_has_names_in_lower_case(read: Read, name: str) -> None:
    component = {"type": "library", "name": "R", "purl": f"pkg:apk/alpine/{name}@4.3.1-r0?distro=alpine-3.19.1"}
    (package,) = read(make_cyclonedx(component)).packages
    assert (package.source_name, package.ecosystem) == ("R", "Alpine:v3.19")


def test_the_version_of_a_component_stands_in_for_the_purls(read: Read) -> None:
    (package,) = read(make_cyclonedx({"type": "library", "name": "x", "version": "1.0", "purl": "pkg:pypi/x"})).packages
    assert (package.version, package.purl) == ("1.0", "pkg:pypi/x@1.0")


def test_components_within_components_are_packages(read: Read) -> None:
    inner = {"type": "library", "name": "b", "purl": "pkg:pypi/b@1"}
    outer = {"type": "library", "name": "a", "purl": "pkg:pypi/a@1", "components": [inner]}
    root = {"type": "container", "name": "app", "version": "sha256:" + "a" * 64, "components": [outer]}
    inventory = read(make_cyclonedx(metadata={"component": root}))
    assert [package.name for package in inventory.packages] == ["a", "b"]
    assert inventory.image == "sha256:" + "a" * 64


def test_the_image_is_known_by_its_purl(read: Read) -> None:
    root = {"type": "container", "name": "app", "purl": f"pkg:oci/app@sha256%3A{'a' * 64}?arch=amd64"}
    assert read(make_cyclonedx(metadata={"component": root})).image == "sha256:" + "a" * 64


def test_a_document_that_says_it_is_incomplete_is_unread(read: Read) -> None:
    inventory = read(make_cyclonedx(compositions=[{"aggregate": "incomplete_first_party_only"}]))
    assert [entry.path for entry in inventory.unread] == ["/"]


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ({"name": "redhat", "version": "8.9"}, Distribution("rhel", "8.9")),
        ({"name": "amazon", "version": "2023.3 (Amazon Linux)"}, Distribution("amzn", "2023.3")),
        ({"name": "alpine", "version": "3.19.1"}, Distribution("alpine", "3.19.1")),
        (
            {"name": "Ubuntu", "version": "x", "properties": [{"name": "syft:distro:versionID", "value": "24.04"}]},
            Distribution("ubuntu", "24.04"),
        ),
    ],
)
def test_the_distribution_is_called_by_its_os_release_id(read: Read, component: Any, expected: Distribution) -> None:
    assert read(make_cyclonedx({"type": "operating-system", **component})).distribution == expected


def test_the_distribution_is_known_by_a_purl_where_nothing_else_names_it(read: Read) -> None:
    purls = ("pkg:deb/debian/a@1?distro=", "pkg:deb/debian/b@1?distro=debian-12")
    inventory = read(make_spdx(*(make_spdx_package(f"p{at}", purl) for at, purl in enumerate(purls))))
    assert inventory.distribution == Distribution("debian", "12")
    assert {package.ecosystem for package in inventory.packages} == {"Debian:12"}


@pytest.mark.parametrize(
    ("purl", "maker", "vendor"),
    [
        ("pkg:deb/debian/docker-ce@5:27.1-1?distro=debian-12", "Docker <support@docker.com>", "docker.com"),
        ("pkg:deb/debian/bash@5.2-1?distro=debian-12", "Matthias Klose <doko@debian.org>", None),
        ("pkg:deb/ubuntu/bash@5.2-1?distro=ubuntu-24.04", "Matthias Klose <doko@debian.org>", "debian.org"),
        ("pkg:apk/alpine/nginx@1.27.1-r1?distro=alpine-3.20.1", "NGINX <nginx-packaging@f5.com>", "f5.com"),
        ("pkg:rpm/rocky/docker-ce@27.1-1.el9?distro=rocky-9.3", "Docker", "Docker"),
        ("pkg:rpm/rocky/bash@5.1.8-9.el9?distro=rocky-9.3", "Rocky Enterprise Software Foundation", None),
        ("pkg:npm/left-pad@1.3.0", "Docker <support@docker.com>", None),
    ],
)
def test_a_vendor_s_package_is_known_by_who_makes_it(read: Read, purl: str, maker: str, vendor: str | None) -> None:
    component = {"type": "library", "name": "a", "purl": purl}
    person = f"Person: {maker.replace('<', '(').replace('>', ')')}"
    for document in (
        make_cyclonedx({**component, "publisher": maker}),  # Syft
        make_cyclonedx({**component, "supplier": {"name": maker}}),  # Trivy
        make_spdx(make_spdx_package("a", purl, supplier=person)),
        make_spdx(make_spdx_package("a", purl, supplier=f"Organization: {maker}")),
    ):
        (package,) = read(document).packages
        assert package.vendor == vendor
        assert package.ecosystem.startswith("vendor:") is bool(vendor)
        assert "maintainer" not in package.purl
    (package,) = read(make_spdx(make_spdx_package("a", purl, supplier="NOASSERTION"))).packages
    assert not package.vendor


def test_the_source_of_an_rpm_is_passed_to_its_ecosystem(read: Read) -> None:
    """openSUSE's advisories name source packages, Rocky's name installed packages."""
    text = {"PkgType": "rpm", "SrcName": "openssl-3", "SrcVersion": "3.1.4", "SrcRelease": "150600.5.1"}
    rpm = {
        "type": "library",
        "name": "libopenssl3",
        "purl": "pkg:rpm/opensuse/libopenssl3@3.1.4-150600.5.1?distro=opensuse.leap-15.6",
        "properties": [{"name": f"aquasecurity:trivy:{name}", "value": value} for name, value in text.items()],
    }
    (package,) = read(make_cyclonedx(rpm)).packages
    assert (package.ecosystem, package.source_name) == ("openSUSE:Leap 15.6", "openssl-3")
    alma = {**rpm, "purl": "pkg:rpm/almalinux/libopenssl3@3.1.4-150600.5.1?distro=almalinux-9.3"}
    (package,) = read(make_cyclonedx(alma)).packages
    assert (package.ecosystem, package.source_name) == ("AlmaLinux:9", "libopenssl3")


def test_what_an_spdx_document_describes_is_no_package_unless_it_has_a_purl(read: Read) -> None:
    relationships = [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-root"}
    ]
    assert read(make_spdx(make_spdx_package("root"), relationships=relationships)).unread == NO_PACKAGE
    assert len(read(make_spdx(make_spdx_package("root", "pkg:pypi/x@1"), relationships=relationships)).packages) == 1
    assert (
        len(read(make_spdx(make_spdx_package("root"), make_spdx_package("other"), relationships=relationships)).unread)
        == 1
    )
    several = {"documentDescribes": ["SPDXRef-root", "SPDXRef-other"]}
    assert len(read(make_spdx(make_spdx_package("root"), make_spdx_package("other"), **several)).unread) == 2


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"<?xml version='1.0'?><bom/>", "is XML"),
        (b"SPDXVersion: SPDX-3.0\n", "is SPDX-3.0, which is not supported"),
        (b"SPDXVersion: SPDX-2.3\nPackageName\n", "has no tag in line 2"),
        (b"# only a comment\n", "is not a bill of materials"),
        (b"SPDXVersion: SPDX-2.3\nPackageComment: <text>for\never\n", "has a <text> in line 2 that does not end"),
        (b"SPDXVersion: SPDX-2.3\nPackageName: a\nExternalRef: SECURITY purl\n", "ExternalRef .* in line 3"),
        (b"SPDXVersion: SPDX-2.3\nRelationship: a b\n", "Relationship .* in line 2"),
        (b"SPDXVersion: SPDX-2.3\nSPDXREF: a\n", "SPDXREF before any Annotator, in line 2"),
        (b'{"payloadType": "text/plain", "payload": ""}', "is a DSSE envelope of type 'text/plain'"),
        (b'{"payloadType": "application/vnd.in-toto+json", "payload": "?"}', "payload is not Base64"),
        (b'{"payloadType": "application/vnd.in-toto+json", "payload": "W10="}', "content is not a JSON object"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}', "without a bill of materials"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "predicate": {}}', "is not a bill of materials"),
        (b'{"bomFormat": "CycloneDX", "components": [], "components": []}', "the key 'components' twice"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "contains no JSON object"),
        (b"[" * 200_000, "nested too deeply"),
        ({"hello": 1}, "is not a bill of materials"),
        (make_cyclonedx(None), "has components that are not a list of objects"),
        (make_cyclonedx({"name": "x", "components": {"name": "y"}}), "has components that are not a list of objects"),
        (make_spdx("x"), "has packages that are not a list of objects"),
        ({"bomFormat": "CycloneDX", "specVersion": "2.0"}, "is CycloneDX 2.0, which is not supported"),
        ({"spdxVersion": "SPDX-3.0"}, "is SPDX-3.0, which is not supported"),
    ],
)
def test_what_cannot_be_read_is_refused_naming_what_can(read: Read, document: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as error:
        read(document)
    assert "document.json" in str(error.value)
    assert error.value.advice == "Supported: CycloneDX 1.2 to 1.7 (JSON), and SPDX 2.2 and 2.3 (JSON or tag-value)."


def test_components_without_end_are_refused(read: Read) -> None:
    document: dict[str, Any] = {"type": "library", "name": "x"}
    for _ in range(200):
        document = {"type": "library", "name": "x", "components": [document]}
    with pytest.raises(UsageError, match="nested more than 64 deep"):
        read(make_cyclonedx(document))


def test_a_document_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(sboms.SIZE_LIMIT + 1)
    with pytest.raises(UsageError, match="has more than"):
        sboms.read(path, KINDS)
