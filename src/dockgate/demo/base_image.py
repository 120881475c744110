"""The base image, built from the Debian archive by mmdebstrap, without a public registry."""

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

# The release that the demo's advisories cover.
SUITE = "trixie"

PACKAGES = ("ca-certificates", "python3", "python3-pip")

# A quarter of the image, which no container reads. mmdebstrap's shell runs it with the image's root as "$1".
REMOVE_DOCUMENTATION = 'cd "$1/usr/share" && rm -r doc/* locale/* man/*'


def build_command(into: Path) -> list[str]:
    """The mmdebstrap command that writes the image's only layer, as a tar file, to `into`."""
    packages = f"--include={','.join(PACKAGES)}"
    fast = "--dpkgopt=force-unsafe-io"  # as in images of Debian: an unfinished one is made again
    options = ["--variant=minbase", fast, packages, f"--customize-hook={REMOVE_DOCUMENTATION}"]
    return ["mmdebstrap", "--quiet", *options, SUITE, str(into), *list_apt_sources()]


def list_apt_sources() -> list[str]:
    """Lines for apt, with the mirrors of this machine; none for Debian's archive."""
    release = platform.freedesktop_os_release()
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return []
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    result = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(set(build_source_lines(result.stdout, codename)))


def build_source_lines(targets: str, codename: str) -> Iterator[str]:
    """One-line apt sources (sources.list(5)) for SUITE.

    They are made from this machine's targets for its release `codename`.
    """
    suites = {
        f"{name}{part}": f"{SUITE}{part}" for name in (codename, "stable") for part in ("", "-updates", "-security")
    }
    for target in targets.splitlines():
        uri, suite, component, key = target.split("|")
        if component == "main" and suite in suites:
            option = f"[signed-by={key}] " if key.startswith("/") else ""
            yield f"deb {option}{uri} {suites[suite]} {component}"
