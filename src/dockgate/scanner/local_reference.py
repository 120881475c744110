"""Split names of what is on this machine: "oci:FOLDER", "podman:NAME", "dir:FOLDER", "sbom:FILE"."""

import re

# What is read, by scheme: an OCI layout folder, or a file with an archive.
ARCHIVES = {"oci": "folder", "oci-archive": "file", "docker-archive": "file"}
# The engine in whose store the image is, by scheme.
ENGINES = {"podman": "podman", "containers-storage": "podman", "docker": "docker", "docker-daemon": "docker"}
# The root folder of a system, and a bill of materials.
FOLDER, DOCUMENT = "dir", "sbom"


def split_scheme(reference: str) -> tuple[str | None, str]:
    """Return the scheme of a name of something on this machine, and what follows it.

    The scheme is None for all other names, and for paths without one.
    """
    scheme, colon, name = reference.partition(":")
    if not colon or scheme not in (*ARCHIVES, *ENGINES, FOLDER, DOCUMENT):
        return None, reference
    if scheme in ENGINES and re.match("[0-9]{1,5}/", name):  # a registry on a host of that name
        return None, reference
    return scheme, name
