"""Reading rpm's databases, and what the distribution adds."""

import gzip
import io
from dataclasses import replace
from pathlib import Path

import pytest

from dockgate.scanner.ecosystems.rpm import ECOSYSTEM, MANIFEST, MANIFEST_LIMIT, SIZE_LIMIT
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Extract
from dockgate.scanner.sboms.purls import parse_purl
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "rpm"
DATABASE_NAMES = {
    "sqlite": ("var/lib/rpm/rpmdb.sqlite", "rpmdb.sqlite.gz"),
    "ndb": ("usr/lib/sysimage/rpm/Packages.db", "Packages.db.gz"),
    "bdb": ("var/lib/rpm/Packages", "Packages-little.gz"),
    "bdb, big-endian": ("var/lib/rpm/Packages", "Packages-big.gz"),
}
ROCKY = Distribution("rocky", "9.4", "Rocky Linux 9.4 (Blue Onyx)", ("rhel", "centos", "fedora"))


def read(form: str) -> Extract:
    path, name = DATABASE_NAMES[form]
    return ECOSYSTEM.read(path, io.BytesIO(gzip.decompress((DATA / name).read_bytes())))


def read_manifest(content: str) -> tuple[Package, ...]:
    return ECOSYSTEM.read(MANIFEST, io.BytesIO(content.encode())).packages


def build_from_purl(purl: Purl, distribution: Distribution | None = None) -> tuple[str, str, str, str]:
    package = ECOSYSTEM.build_from_purl(purl, distribution)
    return package.ecosystem, package.source_name, package.source_version, package.purl


@pytest.fixture(scope="module")
def packages() -> dict[tuple[str, str], Package]:
    return {(package.name, package.arch or ""): package for package in read("sqlite").packages}


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("var/lib/rpm/Packages", True),
        ("var/lib/rpm/Packages.db", True),
        ("var/lib/rpm/rpmdb.sqlite", True),
        ("var/lib/rpm/rpmdb.sqlite-wal", True),
        ("var/lib/rpm/rpmdb.sqlite-journal", True),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", True),
        ("usr/share/rpm/rpmdb.sqlite", True),
        ("var/lib/rpmmanifest/container-manifest-2", True),
        ("var/lib/rpm", True),
        ("var/lib/rpm/rpmdb.sqlite-shm", False),
        ("var/lib/rpm/Name", False),
        ("var/lib/rpm/old/Packages", False),
        ("opt/var/lib/rpm/Packages", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted
    assert not is_wanted or path.startswith(ECOSYSTEM.triggers.prefixes)


@pytest.mark.parametrize("form", DATABASE_NAMES)
def test_every_database_format_yields_the_same_packages(form: str) -> None:
    expected = {
        ("bash", "5.1.8-9.el9", "x86_64", "bash", "5.1.8-9.el9", None),
        ("bash-doc", "5.1.8-9.el9", "x86_64", "bash", "5.1.8-9.el9", None),
        ("filesystem", "3.16-2~rc1.el9", "noarch", "filesystem", "3.16-2~rc1.el9", None),
        ("openssl", "1:3.0.7-24.el9", "i686", "openssl", "1:3.0.7-24.el9", None),
        ("openssl", "1:3.0.7-24.el9", "x86_64", "openssl", "1:3.0.7-24.el9", None),
        (
            *("nodejs", "1:18.19.1-1.module+el9.3.0+20+d23a2d4c", "x86_64"),
            *("nodejs", "1:18.19.1-1.module+el9.3.0+20+d23a2d4c", "nodejs:18"),
        ),
    }
    extract = read(form)
    assert expected == {
        (item.name, item.version, item.arch, item.source_name, item.source_version, item.module)
        for item in extract.packages
    }
    assert len(extract.packages) == 6
    assert extract.unread_parts == ()
    assert {package.path for package in extract.packages} == {DATABASE_NAMES[form][0]}


@pytest.mark.parametrize("form", DATABASE_NAMES)
def test_a_package_owns_its_files_but_neither_folders_nor_ghosts(form: str) -> None:
    owns = read(form).owns
    assert owns.keys() == {"bash:x86_64", "nodejs:x86_64", "openssl:i686", "openssl:x86_64"}
    assert owns["bash:x86_64"] == (
        *("etc/bash.conf", "usr/bin/bash", "usr/bin/bash-link"),
        *("usr/lib/bash/part-1-of-a-list-that-needs-more-than-a-page", "usr/share/doc/bash/README"),
    )
    assert len(owns["nodejs:x86_64"]) == 304


def test_a_distroless_list_says_the_same_as_the_database_but_for_modules() -> None:
    result = ECOSYSTEM.read(MANIFEST, io.BytesIO((DATA / "container-manifest-2").read_bytes()))
    reasons = {
        (package.name, package.version, package.arch, package.source_name, package.source_version)
        for package in result.packages
    }
    database = read("sqlite").packages
    assert reasons == {
        (package.name, package.version, package.arch, package.source_name, package.source_version)
        for package in database
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("bash\t5\n", "line 1 is not a package"),
        ("\n" + "\t" * 9 + "\n", "line 2 is not a package"),
        ("\x7fELF", "line 1"),
    ],
)
def test_a_broken_list_is_unreadable_and_says_where(content: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_manifest(content)


@pytest.mark.parametrize(("path", "limit"), [("var/lib/rpm/Packages", SIZE_LIMIT), (MANIFEST, MANIFEST_LIMIT)])
def test_a_file_too_large_is_unreadable(path: str, limit: int, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb+") as file:
        file.truncate(limit + 1)
        with pytest.raises(UnreadableError, match=f"no more than {limit}"):
            ECOSYSTEM.read(path, file)


@pytest.mark.parametrize(
    ("distribution", "ecosystem"),
    [
        (Distribution("almalinux", "9.4"), "AlmaLinux:9"),
        (ROCKY, "Rocky Linux:9"),
        (Distribution("rhel", "9.4"), "Red Hat:enterprise_linux:9"),
        (Distribution("rhel", ""), "Red Hat"),
        (Distribution("amzn", "2"), "Amazon Linux:2"),
        (Distribution("amzn", "2023"), "Amazon Linux:2023"),
        (Distribution("sles", "15.5"), "SUSE:15 SP5"),
        (Distribution("sles", "15"), "SUSE:15"),
        (Distribution("sled", "12.5"), "SUSE:12 SP5"),
        (Distribution("sles", "16.0"), "SUSE:16.0"),
        (Distribution("sle_hpc", "15.5"), "SUSE:15 SP5"),
        (Distribution("sle-micro", "5.5"), "SUSE:Linux Enterprise Micro 5.5"),
        (Distribution("sl-micro", "6.2"), "SUSE:Linux Micro 6.2"),
        (Distribution("opensuse-leap", "15.5"), "openSUSE:Leap 15.5"),
        (Distribution("opensuse-tumbleweed", "20260101"), "openSUSE:Tumbleweed"),
        (Distribution("azurelinux", "3.0"), "Azure Linux:3"),
        (Distribution("mariner", "2.0"), "Azure Linux:2"),
        (Distribution("openeuler", "24.03", "openEuler 24.03 (LTS)"), "openEuler:24.03-LTS"),
        (Distribution("openeuler", "22.03", "openEuler 22.03 (LTS-SP3)"), "openEuler:22.03-LTS-SP3"),
        (Distribution("openeuler", "23.09", "openEuler 23.09"), "openEuler:23.09"),
        (Distribution("mageia", "9"), "Mageia:9"),
        (Distribution("photon", "5.0"), "Photon OS:5.0"),
        (Distribution("fedora", "41"), "fedora:41"),
        (Distribution("centos", "7"), "centos:7"),
        (Distribution("ol", "9.4"), "ol:9.4"),
        (Distribution("eurolinux", ""), "eurolinux"),
    ],
)
def test_the_distribution_names_the_ecosystem(
    distribution: Distribution, ecosystem: str, packages: dict[tuple[str, str], Package]
) -> None:
    bash = replace(packages["bash", "x86_64"], vendor="")
    assert ECOSYSTEM.assign_distribution(bash, distribution).ecosystem == ecosystem
    assert distribution.id in ECOSYSTEM.distributions


def test_every_ecosystem_that_is_named_is_ordered() -> None:
    assert ECOSYSTEM.osv_names == (
        *("AlmaLinux", "Amazon Linux", "Azure Linux", "Mageia", "Photon OS", "Red Hat", "Rocky Linux", "SUSE"),
        *("TuxCare:AlmaLinux", "TuxCare:CentOS", "TuxCare:CentOS-Stream", "TuxCare:OracleLinux", "TuxCare:RHEL"),
        *("openEuler", "openSUSE"),
    )


@pytest.mark.parametrize(
    ("distribution", "source"),
    [
        (ROCKY, "bash"),
        (Distribution("almalinux", "9.4"), "bash-doc"),
        (Distribution("sles", "15.5"), "bash"),
        (Distribution("fedora", "41"), "bash-doc"),
    ],
)
def test_advisories_name_the_installed_package_or_its_source(
    distribution: Distribution, source: str, packages: dict[tuple[str, str], Package]
) -> None:
    assigned_package = ECOSYSTEM.assign_distribution(packages["bash-doc", "x86_64"], distribution)
    assert (assigned_package.name, assigned_package.source_name, assigned_package.source_version) == (
        "bash-doc",
        source,
        "5.1.8-9.el9",
    )


def test_a_package_with_a_version_of_its_own_has_the_epoch_of_its_source() -> None:
    """SOURCERPM does not state it; what is written of the package does."""
    source = "perl-5.32.1-481.el9.src.rpm"
    rows = [("perl-libs", "5.32.1-481.el9", "4"), ("perl-Errno", "1.30-481.el9", "(none)"), ("other", "2-1", "7")]
    result = read_manifest(
        "".join(f"{name}\t{v}\t\t\tResf\t{epoch}\t\tx\t{epoch}\t{source}\n" for name, v, epoch in rows)
    )
    assert {package.source_version for package in result} == {"4:5.32.1-481.el9"}
    assigned_packages = [ECOSYSTEM.assign_distribution(package, ROCKY) for package in result]
    assert [
        ECOSYSTEM.build_from_purl(parse_purl(package.purl), None).source_version for package in assigned_packages
    ] == ["4:5.32.1-481.el9"] * 3
    assert [package.version for package in assigned_packages] == ["4:5.32.1-481.el9", "1.30-481.el9", "7:2-1"]


def test_a_source_without_a_release_has_no_epoch() -> None:
    rows = [("a", "5", "(none)"), ("b", "6", "1")]
    result = read_manifest(
        "".join(f"{name}\t{v}\t\t\tResf\t{epoch}\t\tx\t{epoch}\ta-5.src.rpm\n" for name, v, epoch in rows)
    )
    assert [package.source_version for package in result] == ["5", "1:6"]


def test_package_urls_say_all_that_is_matched_by(packages: dict[tuple[str, str], Package]) -> None:
    node = ECOSYSTEM.assign_distribution(packages["nodejs", "x86_64"], ROCKY)
    version = "18.19.1-1.module%2Bel9.3.0%2B20%2Bd23a2d4c"
    assert node.purl == (
        f"pkg:rpm/rocky/nodejs@{version}?arch=x86_64&distro=rocky-9.4&epoch=1&rpmmod=nodejs:18"
        f"&upstream=nodejs-{version}.src.rpm"
    )
    assert ECOSYSTEM.assign_distribution(node, ROCKY) == node
    red_hat = ECOSYSTEM.assign_distribution(packages["filesystem", "noarch"], Distribution("rhel", "9.4"))
    assert red_hat.purl.startswith("pkg:rpm/redhat/filesystem@3.16-2~rc1.el9?arch=noarch&distro=rhel-9.4&upstream=")


@pytest.mark.parametrize("distribution", [ROCKY, Distribution("sles", "15.5"), Distribution("rhel", "9.4")])
def test_own_package_url_parses_to_the_same_package(
    distribution: Distribution, packages: dict[tuple[str, str], Package]
) -> None:
    for item in packages.values():
        installed_package = replace(item, vendor="")
        assigned_package = ECOSYSTEM.assign_distribution(installed_package, distribution)
        epoch, _, version = assigned_package.version.rpartition(":")
        source = f"{installed_package.source_name}-{installed_package.source_version.rpartition(':')[2]}.src.rpm"
        arguments = {
            "arch": assigned_package.arch or "",
            "epoch": epoch,
            "rpmmod": assigned_package.module or "",
            "upstream": source,
            "distro": f"{distribution.id}-{distribution.version}",
        }
        rebuilt_package = ECOSYSTEM.build_from_purl(Purl("rpm", "any", assigned_package.name, version, arguments), None)
        assert (rebuilt_package.path, assigned_package.path) == ("", "var/lib/rpm/rpmdb.sqlite")
        assert ECOSYSTEM.assign_distribution(installed_package, distribution).purl == rebuilt_package.purl
        for part in ("ecosystem", "version", "source_name", "source_version", "arch", "module"):
            assert getattr(rebuilt_package, part) == getattr(assigned_package, part)


@pytest.mark.parametrize(
    ("upstream", "source"),
    [
        ("python-foo-bar", "python-foo-bar 1:2.0-3"),
        ("openssl@3.0.7-1", "openssl 1:3.0.7-1"),
        ("openssl@2:3.0.7-1", "openssl 2:3.0.7-1"),
        ("openssl-3.0.7-1.src.rpm", "openssl 1:3.0.7-1"),
        ("openssl-3.0.7-1.nosrc.rpm", "openssl 1:3.0.7-1"),
        ("", "openssl-libs 1:2.0-3"),
    ],
)
def test_a_package_url_names_its_source_in_three_ways(upstream: str, source: str) -> None:
    arguments = {"epoch": "1", "upstream": upstream}
    package = ECOSYSTEM.build_from_purl(Purl("rpm", "rocky", "openssl-libs", "2.0-3", arguments), None)
    assert f"{package.source_name} {package.source_version}" == source


@pytest.mark.parametrize(
    ("distro", "ecosystem"),
    [
        ("rocky-9", "Rocky Linux:9"),
        ("almalinux-9.4", "AlmaLinux:9"),
        ("alma-9.4", "AlmaLinux:9"),
        ("amzn-2023", "Amazon Linux:2023"),
        ("amazon-2", "Amazon Linux:2"),
        ("amazon-2 (Karoo)", "Amazon Linux:2"),
        ("amazon-2023.3.20231218 (Amazon Linux)", "Amazon Linux:2023"),
        ("amzn-2018.03", "Amazon Linux:2018.03"),
        ("redhat-9.4", "Red Hat:enterprise_linux:9"),
        ("rhel-8", "Red Hat:enterprise_linux:8"),
        ("sles-15.5", "SUSE:15 SP5"),
        ("slem-5.5", "SUSE:Linux Enterprise Micro 5.5"),
        ("opensuse-leap-15.5", "openSUSE:Leap 15.5"),
        ("opensuse-tumbleweed", "openSUSE:Tumbleweed"),
        ("opensuse-tumbleweed-20260101", "openSUSE:Tumbleweed"),
        ("fedora-41", "fedora:41"),
        ("cbl-mariner-2.0", "Azure Linux:2"),
        ("openeuler-24.03-LTS-SP1", "openEuler:24.03-LTS-SP1"),
        ("openeuler-24.03-lts", "openEuler:24.03-LTS"),
        ("openEuler-24.03", "openEuler:24.03"),
    ],
)
def test_package_url_states_the_distribution(distro: str, ecosystem: str) -> None:
    purl = Purl("rpm", "redhat", "bash", "5.1.8-9.el9", {"distro": distro})
    assert build_from_purl(purl, Distribution("photon", "5.0"))[0] == ecosystem


def test_document_completes_the_distribution_of_a_qualifier() -> None:
    purl = Purl("rpm", "openEuler", "booth-core", "1.0-6.oe2203sp3", {"distro": "openEuler-22.03"})
    assert (
        build_from_purl(purl, Distribution("openeuler", "22.03", "openEuler 22.03 (LTS-SP3)"))[0]
        == "openEuler:22.03-LTS-SP3"
    )
    assert (
        build_from_purl(purl, Distribution("openeuler", "20.03", "openEuler 20.03 (LTS-SP4)"))[0] == "openEuler:22.03"
    )


def test_distribution_of_a_package_url_without_qualifier() -> None:
    purl = Purl("rpm", "redhat", "bash", "5.1.8-9.el9", {"epoch": "0"})
    assert build_from_purl(purl, ROCKY)[:3] == ("Rocky Linux:9", "bash", "5.1.8-9.el9")
    assert build_from_purl(purl)[0] == "Red Hat"
    assert build_from_purl(Purl("rpm", "", "bash", "1-2", {"arch": "i686"})) == (
        "",
        "bash",
        "1-2",
        "pkg:rpm/bash@1-2?arch=i686",
    )


def test_epoch_is_in_the_version_or_a_qualifier() -> None:
    beside = ECOSYSTEM.build_from_purl(Purl("rpm", "rocky", "openssl", "3.0.7-24.el9", {"epoch": "1"}), None)
    within = ECOSYSTEM.build_from_purl(Purl("rpm", "rocky", "openssl", "1:3.0.7-24.el9"), None)
    assert beside.source_version == within.source_version == "1:3.0.7-24.el9"


@pytest.mark.parametrize("arguments", [{"rpmmod": "nodejs:18"}, {"modularitylabel": "nodejs:18:9030020240301:rhel9"}])
def test_package_url_states_the_module(arguments: dict[str, str]) -> None:
    assert ECOSYSTEM.build_from_purl(Purl("rpm", "rocky", "nodejs", "18-1", arguments), None).module == "nodejs:18"


def test_package_url_needs_a_version() -> None:
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("rpm", "rocky", "bash"), None)
