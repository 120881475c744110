"""Rebuilt packages of distributions: whose advisories judge each, and which are undetermined."""

from pathlib import Path

import pytest
from tests.scanner.layers import ECOSYSTEMS, make_dpkg_list, make_file, make_image, read_image

from dockgate.scanner.ecosystems import apk, dpkg, rpm
from dockgate.scanner.ecosystems.dpkg import status
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms.purls import parse_purl

DATA = Path(__file__).parent / "data" / "hardened"
STATUS, INSTALLED = (DATA / "status").read_text(), (DATA / "installed").read_text()
DEBIAN = 'ID=debian\nVERSION_ID=13\nPRETTY_NAME="Docker Hardened Images/Debian GNU/Linux 13 (trixie)"\n'
ALPINE = 'ID=alpine\nVERSION_ID=3.24\nPRETTY_NAME="Docker Hardened Images/Alpine Linux v3.24"\n'
HARDENED_DEBIAN, HARDENED_ALPINE = (
    "ID=dhi\nID_LIKE=debian\nVERSION_ID=13\n",
    "ID=dhi\nID_LIKE=alpine\nVERSION_ID=3.24\n",
)
DOCKER = "Docker Hardened Images <dhi@docker.com>"
BUSTER = Distribution("debian", "10")


def list_vendors(release: str, path: str, content: str) -> dict[str, tuple[str, str]]:
    """Ecosystem and vendor of each package of an image; whose evidence is whole."""
    inventory = read_image(make_image([make_file("etc/os-release", release), make_file(path, content)]), ECOSYSTEMS)
    assert inventory.unread == ()
    return {package.name: (package.ecosystem, package.vendor or "") for package in inventory.packages}


def test_docker_debian_packages_are_distinguished_from_added_ones() -> None:
    assert list_vendors(HARDENED_DEBIAN, status.STATUS, STATUS) == {
        "coreutils": ("Docker Hardened Images:Debian:13", "dhi.io"),
        "python-3.14": ("Docker Hardened Images:Debian:13", "dhi.io"),
        "jq": ("Debian:13", ""),
    }


def test_docker_packages_are_uncovered_if_os_release_says_debian() -> None:
    """Debian's does not know "python-3.14", and takes 1.0-1+dhi1 for later than its fix, 1.0-1+deb13u1."""
    assert dpkg.ECOSYSTEM.make_version_key("1.0-1+deb13u1") < dpkg.ECOSYSTEM.make_version_key("1.0-1+dhi1")
    assert list_vendors(DEBIAN, status.STATUS, STATUS) == {
        "coreutils": ("vendor:dhi.io", "dhi.io"),
        "python-3.14": ("vendor:dhi.io", "dhi.io"),
        "jq": ("Debian:13", ""),
    }


@pytest.mark.parametrize("release", [ALPINE, HARDENED_ALPINE])
def test_docker_apk_packages_are_not_distinguished_from_added_ones(release: str) -> None:
    unknown = ("vendor:dhi.io", "dhi.io")
    assert list_vendors(release, apk.DATABASES[0], INSTALLED) == {"coreutils": unknown, "jq": unknown}


def test_language_package_in_a_docker_package_is_judged_by_its_own_advisories() -> None:
    metadata = "usr/lib/python3.14/site-packages/pip-26.0.dist-info/METADATA"
    inventory = read_image(
        make_image(
            [
                *(make_file("etc/os-release", HARDENED_DEBIAN), make_file(status.STATUS, STATUS)),
                *(make_dpkg_list("python-3.14", metadata), make_file(metadata, "Name: pip\nVersion: 26.0\n")),
            ]
        ),
        ECOSYSTEMS,
    )
    assert [package.owner for package in inventory.packages if package.ecosystem == "PyPI"] == [None]


def test_a_hardened_image_of_docker_needs_the_database_of_its_family() -> None:
    inventory = read_image(
        make_image([make_file("etc/os-release", HARDENED_ALPINE), make_file(status.STATUS, STATUS)]), ECOSYSTEMS
    )
    assert any("contains no package database" in entry.reason for entry in inventory.unread)


def make_deb(version: str, maintainer: str | None = None, distribution: Distribution = BUSTER) -> Package:
    package = Package("libssl1.1", version, "", "", "openssl", version, status.STATUS, vendor=maintainer)
    return dpkg.ECOSYSTEM.assign_distribution(package, distribution)


@pytest.mark.parametrize(
    ("package", "ecosystem", "name"),
    [
        (make_deb("1.1.1n-0+deb10u6"), "Debian:10", "openssl"),
        (make_deb("1.1.1n-0+deb10u6+tuxcare.els3"), "TuxCare:Debian:10", "libssl1.1"),
        (make_deb("1.1.1n-0+deb10u6+tuxcare.els3", "A <a@cloudlinux.com>"), "TuxCare:Debian:10", "libssl1.1"),
        (
            make_deb("1.0.2g-1ubuntu4.20+tuxcare.els1", "A <a@cloudlinux.com>", Distribution("ubuntu", "16.04")),
            *("TuxCare:Ubuntu:16.04", "libssl1.1"),
        ),
        (make_deb("1.1.1n-0+tuxcare.els3", "", Distribution("kali", "2020")), "TuxCare:kali:2020", "libssl1.1"),
        (make_deb("1.1.1n-0+deb10u6.root.io.2"), "vendor:root.io", "openssl"),
        (
            make_deb("1.1.1n-0+dhi1", "A <a@debian.org>", Distribution("dhi", "")),
            "Docker Hardened Images:Debian",
            "libssl1.1",
        ),
        (make_deb("1.1.1n-0", "", Distribution("dhi", "13")), "vendor:unknown", "openssl"),
        (make_deb("1.1.1n-0", "=dhi", Distribution("dhi", "13")), "vendor:unknown", "openssl"),
        (
            make_deb("1.1.1n-0", "Docker <support@docker.com>", Distribution("dhi", "13")),
            "vendor:docker.com",
            "openssl",
        ),
    ],
)
def test_vendor_of_a_debian_package(package: Package, ecosystem: str, name: str) -> None:
    assert (package.ecosystem, package.source_name) == (ecosystem, name)


@pytest.mark.parametrize(
    ("distribution", "version", "vendor", "ecosystem"),
    [
        (Distribution("almalinux", "9.2"), "7:5.5-5.el9_2.1.tuxcare.els1", "CloudLinux", "TuxCare:AlmaLinux:9.2"),
        (Distribution("almalinux", "9.2"), "7:5.5-5.el9_2.1", "AlmaLinux", "AlmaLinux:9"),
        (Distribution("rhel", "7.9"), "1.0.1e-60.el7.tuxcare.els2", "TuxCare", "TuxCare:RHEL:7"),
        (Distribution("ol", "6.10"), "1.0.1e-60.el6.tuxcare.els2", "TuxCare", "TuxCare:OracleLinux:6"),
        (Distribution("centos", "7"), "1.0.2k-26.el7.tuxcare.els1", "TuxCare", "TuxCare:CentOS:7"),
        (
            Distribution("centos", "8", "CentOS Stream 8"),
            *("1.1.1k-9.el8.tuxcare.els1", "TuxCare", "TuxCare:CentOS-Stream:8"),
        ),
        (Distribution("fedora", "41"), "1.1.1k-9.fc41.tuxcare.els1", "TuxCare", "TuxCare:fedora:41"),
    ],
)
def test_vendor_of_an_rpm_package(distribution: Distribution, version: str, vendor: str, ecosystem: str) -> None:
    package = Package("squid", version, f"pkg:rpm/squid@{version}", "", "src", "1", "", vendor=vendor)
    assigned_package = rpm.ECOSYSTEM.assign_distribution(package, distribution)
    assert (assigned_package.ecosystem, assigned_package.source_name, assigned_package.vendor) == (
        ecosystem,
        "squid",
        None,
    )


@pytest.mark.parametrize(
    ("distribution", "name", "version", "ecosystem"),
    [
        ("clnstrt", "curl", "8.19.0-r1", "clnstrt:3.18.4"),
        ("cleanstart", "curl", "8.19.0-r1", "cleanstart:3.18.4"),
        ("bellsoft-hardened-containers", "curl", "8.19.0-r1", "BellSoft Hardened Containers:3.18.4"),
        ("alpine", "sqlite-libs", "3.41.2-r30074", "vendor:root.io"),
        ("alpine", "rootio-libssl3", "3.1.8-r3", "vendor:root.io"),
        ("alpine", "libssl3", "3.1.8-r103", "Alpine:v3.18"),
        ("wolfi", "libssl3", "3.1.8-r10300", "Wolfi"),
    ],
)
def test_vendor_of_an_apk_package(distribution: str, name: str, version: str, ecosystem: str) -> None:
    assigned_package = apk.ECOSYSTEM.assign_distribution(
        Package(name, version, "", "", name, version, ""), Distribution(distribution, "3.18.4")
    )
    assert assigned_package.ecosystem == ecosystem


@pytest.mark.parametrize(
    ("kind", "purl", "ecosystem"),
    [
        (dpkg.ECOSYSTEM, "pkg:deb/dhi/coreutils@9.7-3%2Bdhi3?distro=dhi-13", "Docker Hardened Images:Debian:13"),
        (
            dpkg.ECOSYSTEM,
            "pkg:deb/dhi/python-3.14@3.14.5-1?os_distro=debian&os_name=dhi&os_version=13",
            "Docker Hardened Images:Debian:13",
        ),
        (dpkg.ECOSYSTEM, "pkg:deb/dhi/python-3.14@3.14.5-1?distro=dhi-13", "vendor:unknown"),
        (dpkg.ECOSYSTEM, "pkg:deb/tuxcare/openssl@1.1.1n-0+tuxcare.els3?distro=debian-10", "TuxCare:Debian:10"),
        (
            apk.ECOSYSTEM,
            "pkg:apk/dhi/coreutils@9.11-r0?os_distro=alpine&os_name=dhi&os_version=3.24",
            "Docker Hardened Images:Alpine:3.24",
        ),
        (apk.ECOSYSTEM, "pkg:apk/dhi/coreutils@9.11-r0?distro=dhi-3.24", "vendor:dhi.io"),
        (rpm.ECOSYSTEM, "pkg:rpm/tuxcare/squid@5.5-5.tuxcare.els1?distro=almalinux-9.2", "TuxCare:AlmaLinux:9.2"),
    ],
)
def test_package_url_states_the_vendor(kind: Ecosystem, purl: str, ecosystem: str) -> None:
    package = kind.build_from_purl(parse_purl(purl), None)
    assert package.ecosystem == ecosystem
    assert kind.build_from_purl(parse_purl(package.purl), None) == package


@pytest.mark.parametrize("maintainer", [DOCKER, "Michael Stone <mstone@debian.org>"])
@pytest.mark.parametrize("version", ["9.7-3+dhi3", "9.7-3", "9.7-3+tuxcare.els1"])
@pytest.mark.parametrize("distribution", [Distribution("dhi", "13"), Distribution("debian", "13")])
def test_own_package_url_parses_to_the_same_package(maintainer: str, version: str, distribution: Distribution) -> None:
    result = make_deb(version, maintainer, distribution)
    rebuilt_package = dpkg.ECOSYSTEM.build_from_purl(parse_purl(result.purl), None)
    assert (rebuilt_package.ecosystem, rebuilt_package.source_name, rebuilt_package.vendor) == (
        result.ecosystem,
        result.source_name,
        result.vendor,
    )
    assert dpkg.ECOSYSTEM.assign_distribution(result, distribution).ecosystem == result.ecosystem
