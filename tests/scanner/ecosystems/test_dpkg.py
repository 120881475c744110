"""Reading dpkg's files."""

import io
import time

import pytest

from dockgate.scanner.ecosystems.dpkg import ECOSYSTEM, STATUS_LIMIT
from dockgate.scanner.ecosystems.dpkg.status import LINE_LIMIT, STATUS
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Extract
from dockgate.scanner.sboms.purls import parse_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import Purl

BASH = """Package: bash
Essential: yes
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Version: 5.2.37-2+b5
Source: bash-src (1:5.2.37-2)
Description: GNU Bourne Again SHell
 Bash is a shell.
 .
 Version: 9 is not this field.
"""
FIPS = "Ubuntu:Pro:FIPS-updates:%s:LTS"


def read(content: str | bytes, path: str = STATUS) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def assign_distribution(distribution: Distribution, package: Package | None = None) -> Package:
    return ECOSYSTEM.assign_distribution(package or read(BASH).packages[0], distribution)


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("var/lib/dpkg/status", True),
        ("var/lib/dpkg/status.d/tzdata", True),
        ("var/lib/dpkg/updates/0001", True),
        ("var/lib/dpkg/updates/tmp.i", False),
        ("var/lib/dpkg/status.d/tzdata.md5sums", True),
        ("var/lib/dpkg/info/libc6:amd64.list", True),
        ("var/lib/dpkg/status-old", False),
        ("var/lib/dpkg/status.d/a/b", False),
        ("var/lib/dpkg/info/bash.md5sums", False),
        ("usr/share/var/lib/dpkg/status", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_source_and_version_match_advisories() -> None:
    (package,) = read(BASH).packages
    assert (package.name, package.version, package.arch) == ("bash", "5.2.37-2+b5", "amd64")
    assert (package.source_name, package.source_version) == ("bash-src", "1:5.2.37-2")


def test_without_a_source_the_package_is_its_own() -> None:
    package_without_source = read(BASH.replace("Source: bash-src (1:5.2.37-2)\n", "")).packages[0]
    package_with_source = read(BASH.replace(" (1:5.2.37-2)", "")).packages[0]
    assert (package_without_source.source_name, package_without_source.source_version) == ("bash", "5.2.37-2+b5")
    assert (package_with_source.source_name, package_with_source.source_version) == ("bash-src", "5.2.37-2+b5")


@pytest.mark.parametrize(
    ("source", "version", "source_name"),
    [
        ("linux-signed-amd64 (6.12.118+1)", "6.12.118-1", "linux"),
        ("linux-signed-6.1-arm64 (6.1.90+1~deb11u1)", "6.1.90-1~deb11u1", "linux-6.1"),
        ("linux-signed", "6.8.0-31.31", "linux"),
        ("linux-signed-hwe-6.8 (6.8.0-51.52~22.04.1)", "6.8.0-51.52~22.04.1", "linux-hwe-6.8"),
    ],
)
def test_a_signed_kernel_is_judged_as_the_kernel_that_was_signed(source: str, version: str, source_name: str) -> None:
    stanza = f"Package: linux-image\nStatus: install ok installed\nVersion: {version}\nSource: {source}\n"
    (package,) = read(stanza).packages
    assert (package.source_name, package.source_version) == (source_name, version)
    upstream = source.replace(" (", "@").rstrip(")")
    rebuilt_package = ECOSYSTEM.build_from_purl(
        Purl("deb", "debian", "linux-image", version, {"upstream": upstream}), None
    )
    assert (rebuilt_package.source_name, rebuilt_package.source_version) == (source_name, version)


@pytest.mark.parametrize("source", ["linux-signedness", "shim-signed", "linux"])
def test_other_sources_are_taken_as_they_are(source: str) -> None:
    (package,) = read(BASH.replace("bash-src", source)).packages
    assert (package.source_name, package.source_version) == (source, "1:5.2.37-2")


@pytest.mark.parametrize(
    ("status", "is_counted"),
    [
        ("install ok installed", True),
        ("hold ok installed", True),
        ("deinstall ok installed", True),
        ("install reinstreq half-installed", True),
        ("install ok unpacked", True),
        ("install ok half-configured", True),
        ("install ok triggers-pending", True),
        ("deinstall ok config-files", False),
        ("purge ok not-installed", False),
    ],
)
def test_packages_count_unless_their_files_are_removed(status: str, *, is_counted: bool) -> None:
    extract = read(BASH.replace("install ok installed", status))
    assert (len(extract.packages), extract.removed_names) == ((1, ()) if is_counted else (0, ("bash",)))


def test_a_distroless_entry_needs_no_status() -> None:
    content = BASH.replace("Status: install ok installed\n", "").rstrip("\n")
    assert len(read(content, "var/lib/dpkg/status.d/bash").packages) == 1


def test_names_of_fields_are_read_in_any_case() -> None:
    assert read(BASH.replace("Version: 5", "VERSION :  5")).packages[0].version == "5.2.37-2+b5"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BASH + "\nPackage: curl\nStatus: install ok installed\nVers", "line 15 is not a field"),
        (BASH + "\nPackage: curl\nStatus: install ok installed\nVersion: 7", "line 15: the file ends in the middle"),
        (BASH + "\nPackage: curl\nStatus: install ok installed\n", "line 13: the entry of curl has no Version"),
        (BASH + "\nPackage: curl\nVersion: 7\n", "line 13: the entry of curl has no complete Status"),
        (BASH.replace("ok installed", ""), "no complete Status"),
        (BASH + "\nVersion: 7\nStatus: install ok installed\n", "line 13: the entry that begins here has no Package"),
        (BASH + "Version: 9\n", "line 12: version occurs twice"),
        (BASH + "\n continued\n", "line 13: a continuation line follows no field"),
        (BASH + "\0" * 100, "line 12 is not a field"),
        (BASH + "Tag: a\0b\n", "line 12 is not a field"),
        (BASH + "two words: x\n", "line 12 is not a field"),
        ("\x7fELF\x02\x01", "line 1 is not a field"),
    ],
)
def test_a_corrupt_status_is_unreadable_and_says_where(content: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_an_empty_distroless_entry_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match="no entry"):
        read("", "var/lib/dpkg/status.d/bash")


def test_invalid_utf8_is_read() -> None:
    extract = read(BASH.encode().replace(b"GNU Bourne", b"\xff\xfe").replace(b"5.2.37-2+b5", b"5\xff"))
    assert extract.packages[0].version == "5\ufffd"


def test_a_file_too_large_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match=f"no more than {STATUS_LIMIT}"):
        read(b"\n" * (STATUS_LIMIT + 1))
    with pytest.raises(UnreadableError, match=f"longer than {LINE_LIMIT}"):
        read(b"Package: " + b"a" * LINE_LIMIT)


@pytest.mark.parametrize("part", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_largest_file_is_read_in_bounded_time(part: int) -> None:
    before = time.process_time()
    assert read(b"\n" * (STATUS_LIMIT // 8 // part)).packages == ()
    assert time.process_time() - before < 5 / part


def test_file_lists_state_owned_files() -> None:
    extract = read("/.\n/usr\n/usr/bin\n/usr/bin/bash\n/etc\n/etc/bash.bashrc\n", "var/lib/dpkg/info/bash:amd64.list")
    assert extract.owns == {"bash:amd64": ("usr/bin/bash", "etc/bash.bashrc")}


@pytest.mark.parametrize(
    ("name", "paths", "third_party"),
    [
        ("bash", "/usr/share/doc\n/usr/share/doc/bash\n/usr/share/doc/bash/copyright\n", False),
        ("libc6:amd64", "/usr/share/doc/libc6\n/usr/share/doc/libc6/copyright\n", False),
        ("libstdc++6:amd64", "/usr/share/doc\n/usr/share/doc/libstdc++6\n", False),  # a link to gcc-14-base
        ("bash", "/usr/bin\n/usr/bin/bash\n", True),
        ("bash", "/usr/share/doc/bash\n/usr/share/doc/bash/changelog.gz\n", True),  # fpm's
        ("bash", "/usr/share/doc/dash/copyright\n", True),
        ("bash", "", True),
    ],
)
def test_list_without_copyright_is_of_a_third_party(name: str, paths: str, *, third_party: bool) -> None:
    assert read(f"/.\n{paths}", f"var/lib/dpkg/info/{name}.list").is_third_party is third_party


def test_distroless_md5sums_state_owned_files() -> None:
    line = "d41d8cd98f00b204e9800998ecf8427e  usr/share/x y\n"
    assert read(line, "var/lib/dpkg/status.d/base.md5sums").owns == {"base": ("usr/share/x y",)}


@pytest.mark.parametrize(
    ("distribution", "ecosystem", "distro"),
    [
        (Distribution("debian", "13"), "Debian:13", "debian-13"),
        (Distribution("debian", ""), "Debian", "debian"),
        (Distribution("ubuntu", "24.04"), "Ubuntu:24.04:LTS", "ubuntu-24.04"),
        (Distribution("ubuntu", "24.10"), "Ubuntu:24.10", "ubuntu-24.10"),
        (Distribution("ubuntu", "23.04"), "Ubuntu:23.04", "ubuntu-23.04"),
        (Distribution("kali", "2026.3"), "kali:2026.3", "kali-2026.3"),
    ],
)
def test_the_distribution_completes_the_package(distribution: Distribution, ecosystem: str, distro: str) -> None:
    package = assign_distribution(distribution)
    assert package.ecosystem == ecosystem
    upstream = "upstream=bash-src%401:5.2.37-2"
    assert package.purl == f"pkg:deb/{distribution.id}/bash@5.2.37-2%2Bb5?arch=amd64&distro={distro}&{upstream}"


def test_package_urls_are_encoded() -> None:
    package = read(BASH.replace("Package: bash", "Package: g++ é").replace("5.2.37-2+b5", "1:2~rc1")).packages[0]
    purl = assign_distribution(Distribution("debian", "13"), package).purl
    assert purl == (
        "pkg:deb/debian/g%2B%2B%20%C3%A9@1:2~rc1?arch=amd64&distro=debian-13&upstream=bash-src%401:5.2.37-2"
    )


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("libssl3@3.0.11-1?distro=debian-12&upstream=openssl", ("Debian:12", "openssl", "3.0.11-1")),
        ("libssl3@3.0.11-1?distro=bookworm&upstream=openssl%403.0.11-2", ("Debian:12", "openssl", "3.0.11-2")),
        ("bind9@9.18.1-1?distro=ubuntu-jammy&epoch=1", ("Ubuntu:22.04:LTS", "bind9", "1:9.18.1-1")),
        ("bind9@1:9.18.1-1?distro=noble&epoch=1", ("Ubuntu:24.04:LTS", "bind9", "1:9.18.1-1")),
        ("bind9@1:9.18.1-1?distro=ubuntu-22.04.5", ("Ubuntu:22.04:LTS", "bind9", "1:9.18.1-1")),
        ("vlc@3.0.16-1ubuntu0.1~esm1?distro=jammy", ("Ubuntu:22.04:LTS", "vlc", "3.0.16-1ubuntu0.1~esm1")),
        ("openssl@1.1.1f-1ubuntu2.fips.16?distro=focal", (FIPS % "20.04", "openssl", "1.1.1f-1ubuntu2.fips.16")),
        ("gnutls28@3.7.3-4ubuntu1.2%2BFips1?distro=jammy", (FIPS % "22.04", "gnutls28", "3.7.3-4ubuntu1.2+Fips1")),
    ],
)
def test_package_url_states_release_source_and_epoch(purl: str, expected: tuple[str, str, str]) -> None:
    package = ECOSYSTEM.build_from_purl(parse_purl(f"pkg:deb/debian/{purl}"), None)
    assert (package.ecosystem, package.source_name, package.source_version) == expected


def test_own_package_url_parses_to_the_same_package() -> None:
    package = assign_distribution(Distribution("debian", "13"))
    rebuilt_package = ECOSYSTEM.build_from_purl(parse_purl(package.purl), None)
    assert (rebuilt_package.source_name, rebuilt_package.source_version) == (
        package.source_name,
        package.source_version,
    )
    assert (rebuilt_package.purl, rebuilt_package.ecosystem) == (package.purl, package.ecosystem)


def test_changes_beside_the_status_file_are_unreadable() -> None:
    """dpkg reads them after the status file; they are there only while it runs, or after it was killed."""
    with pytest.raises(UnreadableError, match="not yet in the status file"):
        read(BASH, "var/lib/dpkg/updates/0001")
    assert read("", "var/lib/dpkg/updates/0001") == Extract()
