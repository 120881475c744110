"""Packages in a distribution's format by other vendors: no advisories cover them."""

import io

import pytest

from dockgate.scanner.ecosystems import apk, dpkg, rpm
from dockgate.scanner.ecosystems.dpkg import status
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms.purls import parse_purl

DEBIAN, UBUNTU = Distribution("debian", "12"), Distribution("ubuntu", "24.04")
ALPINE, ROCKY = Distribution("alpine", "3.20.1"), Distribution("rocky", "9.4")


def make_deb(version: str = "1.0-1", **fields: str) -> Package:
    fields_text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    content = f"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{fields_text}"
    (package,) = dpkg.ECOSYSTEM.read(status.STATUS, io.BytesIO(content.encode())).packages
    return package


@pytest.mark.parametrize(
    ("package", "vendor"),
    [
        (make_deb(), ""),
        (make_deb(Maintainer="Matthias Klose <doko@debian.org>"), ""),
        (make_deb(Maintainer="Jane Doe <jane@example.net>"), ""),
        (make_deb(Maintainer="Docker <support@docker.com>"), "docker.com"),
        (make_deb(Maintainer="Jane Doe <jane@docker.com>"), ""),
        (make_deb(Maintainer="cudatools <CUDATools@NVIDIA.com>"), "nvidia.com"),
        (make_deb(Maintainer="NGINX Packaging <nginx-packaging@f5.com>"), "f5.com"),
        (make_deb(Maintainer="Kubernetes Authors <dev@kubernetes.io>"), "kubernetes.io"),
        (make_deb(Maintainer="PowerShell Team <PowerShellTeam@hotmail.com>"), "hotmail.com"),
        (make_deb(Maintainer="Jane Doe <jane@hotmail.com>"), ""),
        (make_deb(Maintainer="Alex Doyle <adoyle@nvidia.com>"), ""),
        (make_deb("3.3.4-2", Maintainer="Jose Luis Rivero <jrivero@osrfoundation.org>"), ""),
        (make_deb("8.6.0-1~bookworm", Maintainer="Jose Luis Rivero <jrivero@osrfoundation.org>"), "osrfoundation.org"),
        (make_deb(Maintainer="GitHub"), "GitHub"),
        (make_deb("16.4-1.pgdg120+1", Maintainer="Debian PostgreSQL Maintainers <a@debian.org>"), "apt.postgresql.org"),
        (make_deb("8.3.21-1+0~20250509.62+debian12~1.gbpd2ac5c"), "packages.sury.org"),
        (make_deb("6:7.2.7-1rl1~bookworm1"), "packages.redis.io"),
        (make_deb("2.49.0-1~bpo12+1", Maintainer="A <a@debian.org>"), "backports.debian.org"),
        (make_deb("5.5.0+debpgdg-1"), ""),
        (make_deb(Vendor="Example,  Inc.", Maintainer="A <a@debian.org>"), "Example, Inc."),
        (make_deb(Origin="Debian", Maintainer="Docker <support@docker.com>"), ""),
        (make_deb(Origin="Example"), "Example"),
        (make_deb(Vendor="x" * 500), "x" * 80),
    ],
)
def test_debian_vendors_are_listed_or_stated(package: Package, vendor: str) -> None:
    assigned_package = dpkg.ECOSYSTEM.assign_distribution(package, DEBIAN)
    assert (assigned_package.vendor or "", assigned_package.ecosystem) == (
        vendor,
        f"vendor:{vendor}" if vendor else "Debian:12",
    )


@pytest.mark.parametrize(
    ("maintainer", "vendor"),
    [
        ("Ubuntu Developers <ubuntu-devel-discuss@lists.ubuntu.com>", ""),
        ("Dimitri John Ledkov <dimitri.ledkov@canonical.com>", ""),
        ("Jane Doe <jane@ubuntu.com>", ""),
        ("", ""),
        ("Matthias Klose <doko@debian.org>", "debian.org"),
        ("Jane Doe <jane@myubuntu.com>", "myubuntu.com"),
    ],
)
def test_ubuntu_packages_have_ubuntu_maintainers(maintainer: str, vendor: str) -> None:
    assigned_package = dpkg.ECOSYSTEM.assign_distribution(make_deb(Maintainer=maintainer), UBUNTU)
    assert (assigned_package.vendor or "", assigned_package.ecosystem) == (
        vendor,
        f"vendor:{vendor}" if vendor else "Ubuntu:24.04:LTS",
    )


def test_vendors_of_alpine_packages_are_known_by_name() -> None:
    entry = "P:{}\nV:1.27.1-r1\nA:x86_64\nm:{}\n\n"
    content = entry.format("nginx", "NGINX Packaging Team <nginx-packaging@f5.com>")
    content += entry.format("musl", "Timo <timo.teras@iki.fi>")
    read = apk.ECOSYSTEM.read(apk.DATABASES[0], io.BytesIO(content.encode())).packages
    assigned_packages = [apk.ECOSYSTEM.assign_distribution(package, ALPINE) for package in read]
    assert [(package.vendor, package.ecosystem) for package in assigned_packages] == [
        ("f5.com", "vendor:f5.com"),
        (None, "Alpine:v3.20"),
    ]


def list_installed(*entries: str) -> list[tuple[str, str]]:
    content = "".join(f"P:{entry}\nV:1-r1\n\n" for entry in entries)
    read = apk.ECOSYSTEM.read(apk.DATABASES[0], io.BytesIO(content.encode())).packages
    return [(package.name, apk.ECOSYSTEM.assign_distribution(package, ALPINE).ecosystem) for package in read]


def test_a_package_without_an_origin_does_not_belong_to_alpine() -> None:
    musl, acme = "musl\no:musl\nm:Timo <timo.teras@iki.fi>", "acme\nm:Acme <dev@acme.example>"
    assert list_installed(musl, acme) == [("musl", "Alpine:v3.20"), ("acme", "vendor:acme.example")]
    assert list_installed(musl, "acme") == [("musl", "Alpine:v3.20"), ("acme", "vendor:unknown")]
    assert list_installed(musl, "acme", "other") == [(name, "Alpine:v3.20") for name in ("musl", "acme", "other")]


@pytest.mark.parametrize(
    ("distribution", "stated_vendor", "vendor"),
    [
        ("rocky", "Rocky Enterprise Software Foundation", ""),
        ("rocky", "Fedora Project", "Fedora Project"),
        ("rocky", "unknown", "unknown"),
        ("rhel", "Red Hat, Inc.", ""),
        ("rhel", "Docker", "Docker"),
        ("rhel", "Microsoft Corporation", "Microsoft Corporation"),
        ("azurelinux", "Microsoft Corporation", ""),
        ("almalinux", "AlmaLinux", ""),
        ("amzn", "Amazon.com", ""),
        ("amzn", "NodeSource", "NodeSource"),
        ("opensuse-leap", "SUSE LLC <https://www.suse.com/>", ""),
        ("sles", "openSUSE", ""),
        ("openeuler", "http://openeuler.org", ""),
        ("openeuler", "Docker", "Docker"),
        ("photon", "VMware, Inc.", ""),
        ("photon", "Joe", "Joe"),
        ("mageia", "Joe", ""),  # its vendor's name is not known
        ("rocky", "", ""),  # no vendor, in another tool's document
    ],
)
def test_the_rpm_database_names_the_vendor(distribution: str, stated_vendor: str, vendor: str) -> None:
    package = Package("a", "1-1.el9", "pkg:rpm/a@1-1.el9", "", "a", "1-1.el9", "", vendor=stated_vendor or None)
    assigned_package = rpm.ECOSYSTEM.assign_distribution(package, Distribution(distribution, "9"))
    assert (assigned_package.vendor or "", assigned_package.ecosystem.startswith("vendor:")) == (vendor, bool(vendor))


@pytest.mark.parametrize(
    ("release", "distribution", "ecosystem"),
    [
        ("1.amzn2", Distribution("amzn", "2"), "Amazon Linux:2"),
        ("1.el7", Distribution("amzn", "2"), "vendor:unknown"),
        ("1.oe2403", Distribution("openeuler", "24.03", "openEuler 24.03 (LTS)"), "openEuler:24.03-LTS"),
        ("1", Distribution("openeuler", "24.03"), "vendor:unknown"),
        ("1.ph5", Distribution("photon", "5.0"), "Photon OS:5.0"),
    ],
)
def test_own_package_may_lack_the_vendor(release: str, distribution: Distribution, ecosystem: str) -> None:
    package = Package("a", f"1-{release}", f"pkg:rpm/a@1-{release}", "", "a", f"1-{release}", "", vendor="unknown")
    assert rpm.ECOSYSTEM.assign_distribution(package, distribution).ecosystem == ecosystem


@pytest.mark.parametrize(
    ("kind", "package", "distribution"),
    [
        (dpkg.ECOSYSTEM, make_deb(Maintainer="Docker <support@docker.com>"), DEBIAN),
        (dpkg.ECOSYSTEM, make_deb(Maintainer="A <a@example.net>"), UBUNTU),
        (dpkg.ECOSYSTEM, make_deb(Vendor="Example & Co"), DEBIAN),
        (rpm.ECOSYSTEM, Package("a", "1-1", "pkg:rpm/a@1-1", "", "a", "1-1", "", vendor="Example, Inc."), ROCKY),
        (apk.ECOSYSTEM, Package("a", "1-r1", "", "", "a", "1-r1", "", vendor="A <nginx-packaging@f5.com>"), ALPINE),
    ],
)
def test_a_package_url_names_the_vendor(kind: Ecosystem, package: Package, distribution: Distribution) -> None:
    assigned_package = kind.assign_distribution(package, distribution)
    rebuilt_package = kind.build_from_purl(parse_purl(assigned_package.purl), None)
    assert assigned_package.vendor
    assert (rebuilt_package.vendor, rebuilt_package.ecosystem, rebuilt_package.purl) == (
        assigned_package.vendor or "",
        assigned_package.ecosystem,
        assigned_package.purl,
    )
    assert kind.assign_distribution(assigned_package, distribution) == assigned_package
