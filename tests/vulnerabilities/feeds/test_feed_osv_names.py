"""What the OSV feed makes of the names that publishers give to ecosystems, packages and vulnerabilities."""

import pytest
from tests.vulnerabilities.feeds.feed_files import make_entry, make_fixed_range, record
from tests.vulnerabilities.feeds.test_feed_osv import read, read_advisory_with

from dockgate.vulnerabilities.feed import FaultyRecord, SilentRecord
from dockgate.vulnerabilities.model import Advisory, Range


@pytest.mark.parametrize(
    ("ecosystem", "name", "normal"),
    [
        ("PyPI", "Zope.Interface__x", "zope-interface-x"),
        ("NuGet", "Newtonsoft.Json", "newtonsoft.json"),
        ("Packagist", "Vendor/Name", "vendor/name"),
        ("npm", "@Scope/Name", "@Scope/Name"),
        ("Go", "github.com/Azure/azure-sdk", "github.com/azure/azure-sdk"),
        ("Maven", "Group:Artifact", "Group:Artifact"),
        ("crates.io", "Inflector", "Inflector"),
        ("GitHub Actions", "Azure/setup-kubectl", "azure/setup-kubectl"),
        ("VSCode", "EffetMer.darkgpt", "effetmer.darkgpt"),
    ],
)
def test_names_are_normalized_by_ecosystem(ecosystem: str, name: str, normal: str) -> None:
    assert (
        read_advisory_with(ecosystem, record("X-1", make_entry(ecosystem, name, *make_fixed_range("1")))).name == normal
    )


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("Red Hat:enterprise_linux:9::baseos", "Red Hat:enterprise_linux:9"),
        ("Red Hat:enterprise_linux:9::appstream", "Red Hat:enterprise_linux:9"),
        ("Red Hat:enterprise_linux:10.1", "Red Hat:enterprise_linux:10"),
        ("Red Hat:rhel_eus:9.2::appstream", "Red Hat:rhel_eus:9.2"),
        ("Red Hat:rhel_els:7", "Red Hat:enterprise_linux:7"),
        ("Red Hat:rhel_software_collections:3::el7", "Red Hat:enterprise_linux:7"),
        ("Red Hat:rhel_dotnet:6.0::el7", "Red Hat:enterprise_linux:7"),
        ("Red Hat:openshift:4.14::el9", "Red Hat:openshift:4.14"),
        ("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:15 SP5"),
        ("Docker Hardened Images:Debian:trixie", "Docker Hardened Images:Debian:13"),
        ("Docker Hardened Images:Alpine:3.24", "Docker Hardened Images:Alpine:3.24"),
        ("Docker Hardened Images", "Docker Hardened Images"),
        ("TuxCare:Ubuntu:16.04", "TuxCare:Ubuntu:16.04"),
        ("TuxCare:Maven", "TuxCare:Maven"),
        ("SUSE:Linux Enterprise Server 15 SP5", "SUSE:15 SP5"),
        ("SUSE:Linux Enterprise Server for SAP Applications 15 SP5", "SUSE:15 SP5"),
        ("SUSE:Linux Enterprise Server 15 SP4-LTSS", "SUSE:15 SP4"),
        ("SUSE:Linux Enterprise High Performance Computing 15 SP4-ESPOS", "SUSE:15 SP4"),
        ("SUSE:Linux Enterprise Module for Python 3 15 SP6", "SUSE:15 SP6"),
        ("SUSE:Linux Enterprise Server 11 SP4 LTSS EXTREME CORE", "SUSE:11 SP4"),
        ("SUSE:Linux Enterprise Server 12", "SUSE:12"),
        ("SUSE:Linux Enterprise Server 16.0", "SUSE:16.0"),
        ("SUSE:Linux Enterprise Micro 5.3", "SUSE:Linux Enterprise Micro 5.3"),
        ("SUSE:Linux Micro 6.2", "SUSE:Linux Micro 6.2"),
        ("SUSE:Manager Server 4.3", "SUSE:Manager Server 4.3"),
        ("openSUSE:Leap 15.5", "openSUSE:Leap 15.5"),
        ("AlmaLinux:8", "AlmaLinux:8"),
        ("Rocky Linux:9", "Rocky Linux:9"),
        ("Ubuntu:24.04:LTS", "Ubuntu:24.04:LTS"),
        ("Ubuntu:Pro:22.04:LTS", "Ubuntu:22.04:LTS"),
        ("Ubuntu:Pro:25.10", "Ubuntu:25.10"),
        ("Ubuntu:Pro:FIPS-updates:22.04:LTS", "Ubuntu:Pro:FIPS-updates:22.04:LTS"),
        ("Ubuntu:Pro:22.04:LTS:Realtime:Kernel", "Ubuntu:Pro:22.04:LTS:Realtime:Kernel"),
        ("Alpine:v3.19", "Alpine:v3.19"),
        ("Wolfi", "Wolfi"),
        ("Packagist:https://packages.drupal.org/8", "Packagist"),
        ("Maven:https://maven.google.com", "Maven"),
        ("VSCode:https://open-vsx.org", "VSCode"),
        ("FreeBSD:ports", "FreeBSD:ports"),
        ("FreeBSD:ports:14.3", "FreeBSD:ports"),
    ],
)
def test_products_with_the_same_packages_become_one_release(value: str, normal: str) -> None:
    assert (
        read_advisory_with(
            value.partition(":")[0], record("X-1", make_entry(value, "a", *make_fixed_range("1")))
        ).ecosystem
        == normal
    )


def test_the_modules_of_suse_12_are_for_each_of_its_service_packs() -> None:
    value = record(
        "X-1",
        make_entry("SUSE:Linux Enterprise Module for Web and Scripting 12", "nodejs18", *make_fixed_range("18.20")),
    )
    spoken = [advisory.ecosystem for advisory in read("SUSE", value) if isinstance(advisory, Advisory)]
    assert spoken == ["SUSE:12", "SUSE:12 SP1", "SUSE:12 SP2", "SUSE:12 SP3", "SUSE:12 SP4", "SUSE:12 SP5"]


@pytest.mark.parametrize("ecosystem", ["Echo:PyPI", "Echo:PyPi", "Echo:npm", "Echo:Maven"])
def test_language_packages_rebuilt_by_echo_are_not_of_its_distribution(ecosystem: str) -> None:
    value = record("ECHO-1", make_entry(ecosystem, "jinja2", *make_fixed_range("2.11.3-1+deb11u1")))
    assert [type(messages) for messages in read("Echo", value)] == [SilentRecord]
    both = record("ECHO-2", *value["affected"], make_entry("Echo", "jinja2", *make_fixed_range("3.1.6-1")))
    assert read_advisory_with("Echo", both).ranges[0].events[1] == ("fixed", "3.1.6-1")


@pytest.mark.parametrize(
    ("ecosystem", "package", "messages", "version"),
    [
        ("Mageia:9", "gtk+2.0", "gtk+2.0-2.24.33-5.1.mga9", "2.24.33-5.1.mga9"),
        ("Mageia:9", "ffmpeg", "5.1.4-1.mga9", "5.1.4-1.mga9"),
        ("Mageia:9", "ffmpeg", "5.1.4-1.mga9.tainted", "5.1.4-1.mga9"),
        ("Mageia:9", "nvidia-current", "550.144.03-1.mga9.nonfree", "550.144.03-1.mga9"),
        (
            *("openEuler:24.03-LTS", "java-1.8.0-openjdk"),
            *("java-1.8.0-openjdk-1.8.0.462.b08-4.oe2403sp2", "1.8.0.462.b08-4.oe2403sp2"),
        ),
        ("openEuler:24.03-LTS", "curl", "8.4.0-13.oe2403", "8.4.0-13.oe2403"),
        (
            *("SUSE:Linux Enterprise Server LTSS Extended Security 12 SP5", "iputils"),
            *("s20161105-11.9.1", "s20161105-11.9.1"),
        ),
    ],
)
def test_versions_have_no_package_name_or_section(ecosystem: str, package: str, messages: str, version: str) -> None:
    advisory = read_advisory_with(
        ecosystem.partition(":")[0], record("X-1", make_entry(ecosystem, package, *make_fixed_range(messages)))
    )
    assert advisory.ranges[0].events == (("introduced", "0"), ("fixed", version))


def test_a_version_with_the_name_of_another_package_is_refused() -> None:
    affected = make_entry(
        "openEuler:24.03-LTS", "openjdk-1.8.0", *make_fixed_range("java-1.8.0-openjdk-1.8.0.462.b08-4.oe2403sp2")
    )
    fault, advisory = read("openEuler", record("OESA-1", affected))
    assert isinstance(fault, FaultyRecord)
    assert fault.is_contained
    assert isinstance(advisory, Advisory)
    assert advisory.ranges == (Range("ECOSYSTEM", ()),)


def test_entries_of_products_of_one_release_are_joined() -> None:
    names = ("Red Hat:enterprise_linux:9::baseos", "Red Hat:enterprise_linux:9::appstream")
    advisory = read_advisory_with(
        "Red Hat", record("RHSA-1", *(make_entry(name, "openssl", *make_fixed_range("1:3-1.el9")) for name in names))
    )
    assert len(advisory.ranges) == 1


@pytest.mark.parametrize(
    ("part", "names", "upstream"),
    [
        ("AlmaLinux:9", {"related": ["CVE-1", "CVE-2", "RHSA-1"]}, ("CVE-1", "CVE-2")),
        ("AlmaLinux:9", {"related": ["CVE-1"], "upstream": ["CVE-2"]}, ("CVE-2",)),
        ("Debian:13", {"related": ["CVE-1"], "aliases": ["CVE-2"]}, ()),
        ("PyPI", {"related": ["CVE-1"]}, ()),
    ],
)
def test_the_related_cves_of_a_bulletin_are_its_upstream(
    part: str, names: dict[str, list[str]], upstream: tuple[str, ...]
) -> None:
    value = record("X-1", make_entry(part, "a", *make_fixed_range("1")), **names)
    assert read_advisory_with(part.partition(":")[0], value).upstream == upstream
