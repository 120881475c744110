"""Packages that nobody may use, by name or in some versions."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules import _vers
from dockgate.gate.rules._settings import known, refused
from dockgate.shared.errors import DefinitionError, UncomparableError
from dockgate.vulnerabilities.model import Undetermined

_KEYS = ("purl", "versions", "reason")


class ForbiddenPackages:
    """Settings: `packages`, each a pattern of package URLs, or a mapping with `purl` (the pattern) and perhaps
    `versions` (a range as VERS: "vers:npm/<4.17.21") and `reason`, which is told.

    Patterns are those of `core.patterns`: "pkg:npm/lodash", "pkg:npm/@acme/*", "pkg:deb/debian/openssl@1.*"."""

    name = "forbidden_packages"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            "packages": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "oneOf": [
                        {"type": "string", "pattern": "^pkg:."},
                        {
                            "type": "object",
                            "properties": {
                                "purl": {"type": "string", "pattern": "^pkg:."},
                                "versions": {"type": "string", "pattern": "^vers:[a-z0-9]+/."},
                                "reason": {"type": "string"},
                            },
                            "required": ["purl"],
                            "additionalProperties": False,
                        },
                    ]
                },
            }
        },
        "required": ["packages"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("packages",))
        packages = given.get("packages")
        if not isinstance(packages, (list, tuple)) or not packages:
            raise DefinitionError("packages: nothing is forbidden; it needs a list of package URLs' patterns")
        return {"packages": [_entry(f"packages.{index}", one) for index, one in enumerate(packages)]}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ("ecosystems",) if any(entry["versions"] for entry in _entries(settings)) else ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        for entry in _entries(settings):
            span = _vers.read(entry["versions"]) if entry["versions"] else None
            found: dict[str, None] = {}
            for package in facts.inventory.packages:
                if not patterns.names_package(entry["purl"], package):
                    continue
                try:
                    order = partial(facts.compare, package.ecosystem)
                    if span is None or span.holds(package.version, order):
                        found[f"{package.name} {package.version}"] = None
                except UncomparableError as error:
                    what = f"{package.name} {package.version} is in {entry['versions']}"
                    advice = f"Remove {package.name}, or forbid it without `versions`."
                    yield Undetermined(package.purl, f"Whether {what} is not known: {error}", advice=advice)
            if found:
                within = f" in {entry['versions']}" if span else ""
                why = f" ({entry['reason']})" if entry["reason"] else ""
                yield Violation(self.name, f"{entry['purl']}{within} is forbidden{why}: {', '.join(found)}")
        if facts.reported:
            reason = f"{facts.source} does not tell every package, so a forbidden one may be among them."
            yield Undetermined("/", reason, advice="Scan the image with Dockgate, which lists every package.")


RULE: Rule = ForbiddenPackages()


def _entry(key: str, given: object) -> dict[str, str]:
    entry = {"purl": given} if isinstance(given, str) else given
    if not isinstance(entry, Mapping):
        raise refused(key, given, "a pattern of package URLs, or a mapping with purl, versions, reason")
    known(entry, _KEYS, f"{key}.")
    purl, versions, reason = entry.get("purl"), entry.get("versions", ""), entry.get("reason", "")
    if not isinstance(purl, str) or not purl.startswith("pkg:") or not purl.removeprefix("pkg:"):
        raise refused(f"{key}.purl" if isinstance(given, Mapping) else key, purl, "a pattern that begins with pkg:")
    if not isinstance(reason, str):
        raise refused(f"{key}.reason", reason, "a text")
    if versions != "":
        _range(f"{key}.versions", versions, purl)
    return {"purl": purl, "versions": str(versions), "reason": reason}


def _range(key: str, given: object, purl: str) -> None:
    """Refuses what is no range, or one of other versions than the pattern's: in these, nothing could be compared."""
    try:
        span = _vers.read(given if isinstance(given, str) else "")
    except ValueError as error:
        raise refused(key, given, f"a range as VERS, such as vers:npm/>=1.0.0|<2.0.0; {error}") from None
    kind = purl.removeprefix("pkg:").partition("/")[0]
    if span.scheme != kind:
        raise refused(key, given, f"a range of the pattern's type, vers:{kind}/…")


def _entries(settings: Mapping[str, object]) -> list[dict[str, str]]:
    listed = settings["packages"]
    return [dict(entry) for entry in listed] if isinstance(listed, (list, tuple)) else []
