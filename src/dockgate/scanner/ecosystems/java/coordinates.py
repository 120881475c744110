"""Find a jar's Maven coordinates.

The evidence is used in this order:

1. `META-INF/maven/GROUP/ARTIFACT/pom.properties`, written by maven-archiver; missing values from its pom.xml.

2. The manifest and the file name, ARTIFACT-VERSION.jar in Maven's repository layout. The group is the first of: (a)
`Group-Id` of Jenkins plugins, written by maven-hpi-plugin; (b) the group of a well-known library (`known_groups`); (c)
`Implementation-Vendor-Id` if maven-archiver or sbt wrote it, `Implementation-Vendor` if Mill did; (d)
`Bundle-SymbolicName`, GROUP.ARTIFACT if maven-bundle-plugin or sbt-osgi wrote it. For (c) and (d), domains of vendors
with many groups do not count, because manifests written by hand contain them too.

3. Otherwise the group stays unknown: no advisory matches it, and the package is undetermined.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dockgate.scanner.ecosystems.java.known_groups import find_library, find_tomcat_library
from dockgate.scanner.formats.content import decode_text
from dockgate.scanner.formats.xml import parse_elements
from dockgate.shared.errors import UnreadableError

# Domains with many groups: a manifest with only such a domain does not state the group.
_VENDORS = frozenset(
    """com.google com.ibm com.oracle com.sun net.java org.apache org.apache.commons org.codehaus org.eclipse org.jboss
    org.sonatype org.springframework""".split()  # noqa: SIM905 names, not values
)
_RUNTIME = ("Java Platform API Specification", "Java Runtime Environment")
_QUALIFIERS = frozenset(("alpha", "beta", "cr", "m", "milestone", "pre", "preview", "rc", "snapshot", "sp"))
_SAFE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._")
_VERSION_SAFE = _SAFE_CHARACTERS | frozenset("+~")


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A Maven package. Group and version are None if unknown."""

    group: str | None
    artifact: str
    version: str | None


def from_pom_properties(raw: bytes, path: str) -> Coordinates:
    """Read META-INF/maven/GROUP/ARTIFACT/pom.properties; its folders replace missing values.

    Raises UnreadableError.
    """
    values: dict[str, str] = {}
    for line in decode_text(raw).splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith(("#", "!")):
            values[name.strip()] = value.strip()
    return _complete_by_path(path, values.get("groupId"), values.get("artifactId"), values.get("version"))


def from_pom(raw: bytes, path: str) -> Coordinates:
    """Read the pom.xml; group and version may be its parent's. Raises UnreadableError."""
    values = {element.path: element.text for element in parse_elements(raw)}

    def get_value(name: str) -> str | None:
        return values.get(f"project/{name}") or values.get(f"project/parent/{name}")

    return _complete_by_path(path, get_value("groupId"), values.get("project/artifactId"), get_value("version"))


def _complete_by_path(path: str, group: str | None, artifact: str | None, version: str | None) -> Coordinates:
    """Build coordinates; the folders META-INF/maven/GROUP/ARTIFACT replace values that are missing or illegal.

    Raises UnreadableError if the artifact is neither in the file nor in its folder.
    """
    _, _, group_folder, artifact_folder, _ = path.split("/")
    clean_artifact = _clean_text(artifact, _SAFE_CHARACTERS) or _clean_text(artifact_folder, _SAFE_CHARACTERS)
    if clean_artifact is None:
        raise UnreadableError("its artifactId is missing or has characters that Maven does not allow")
    return Coordinates(
        _clean_text(group, _SAFE_CHARACTERS) or _clean_text(group_folder, _SAFE_CHARACTERS),
        clean_artifact,
        _clean_text(version, _VERSION_SAFE),
    )


def from_manifest(manifest: Mapping[str, str], file: str) -> Coordinates:
    """Derive the coordinates of a jar without Maven's files from its manifest and file name.

    Tools that merge jars may copy a manifest. So a manifest whose version contradicts the file name is ignored.
    """
    stem = file.rpartition(".")[0] or file
    if group := _clean_text(manifest.get("group-id"), _SAFE_CHARACTERS):
        name = manifest.get("short-name") or manifest.get("extension-name")
        version = _clean_version(manifest.get("plugin-version", "").partition(" ")[0])
        return Coordinates(group, _clean_text(name, _SAFE_CHARACTERS) or stem, version)
    artifact, version = split_stem(stem)
    stated_version = _clean_version(manifest.get("implementation-version"))
    is_foreign = False
    if stated_version:
        before, separator, after = stem.partition(f"-{stated_version}")
        if separator and after[:1] in ("", "-"):
            artifact, version = before, stated_version
        is_foreign = version is not None and not (
            version.startswith(stated_version) or stated_version.startswith(version)
        )
    if not is_foreign:
        version = stated_version or version or _clean_version(manifest.get("bundle-version"))
        if manifest.get("implementation-title") == "Apache Tomcat" and not artifact.startswith("tomcat-embed-"):
            return Coordinates(*find_tomcat_library(artifact), version)
    if library := find_library(artifact):
        return Coordinates(*library, version)
    return Coordinates(None if is_foreign else _find_group(manifest, artifact), artifact, version)


def parse_manifest(raw: bytes) -> dict[str, str]:
    """Parse the main section's attributes, names in lower case (JAR File Specification, "Manifest")."""
    attributes: dict[str, str] = {}
    name = ""
    for line in decode_text(raw).splitlines():
        if not line:
            break
        if line[0] == " ":
            if name:
                attributes[name] += line[1:]
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower() if colon else ""
        if name:
            attributes[name] = value.removeprefix(" ")
    return {key: value.strip() for key, value in attributes.items()}


def split_stem(stem: str) -> tuple[str, str | None]:
    """Split ARTIFACT-VERSION; the version is None if the stem has none.

    The version begins at the last part that starts with a digit and contains a dot, unless it follows such a part or a
    qualifier; otherwise at the first part that starts with a digit.
    """
    parts = stem.split("-")
    begins = [
        at
        for at in range(1, len(parts))
        if parts[at][:1].isdecimal()
        and not parts[at - 1][:1].isdecimal()
        and parts[at - 1].lower().rstrip("0123456789") not in _QUALIFIERS
    ]
    if not begins:
        return stem, None
    at = next((at for at in reversed(begins) if "." in parts[at]), begins[0])
    return "-".join(parts[:at]), "-".join(parts[at:])


def is_java_runtime(manifest: Mapping[str, str]) -> bool:
    """Return whether the jar belongs to a Java runtime, by the manifest that the runtime's build writes."""
    return (manifest.get("specification-title"), manifest.get("implementation-title")) == _RUNTIME


def _find_group(manifest: Mapping[str, str], artifact: str) -> str | None:
    attribute = "implementation-vendor" if manifest.get("tool", "").startswith("Mill-") else "implementation-vendor-id"
    vendor = _clean_text(manifest.get(attribute), _SAFE_CHARACTERS)
    if vendor and "." in vendor and vendor not in _VENDORS:
        return vendor
    bundle = _clean_text(manifest.get("bundle-symbolicname", "").partition(";")[0].strip(), _SAFE_CHARACTERS) or ""
    for name in (artifact, artifact.partition("_2.")[0], artifact.partition("_3")[0]):
        group = bundle.removesuffix(f".{name}")
        if group != bundle and "." in group and group not in _VENDORS:
            return group
    return None


def _clean_version(version: str | None) -> str | None:
    """Return a manifest's version, None if it is a sentence or a placeholder."""
    return _clean_text(version, _VERSION_SAFE) if version and any(char.isdecimal() for char in version) else None


def _clean_text(value: str | None, allowed_characters: frozenset[str]) -> str | None:
    """Return the value if its characters are legal, None for a placeholder or white space."""
    return value if value and allowed_characters.issuperset(value) else None
