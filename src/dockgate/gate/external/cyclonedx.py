"""CycloneDX as JSON, 1.4 to 1.7, with vulnerabilities in it (https://cyclonedx.org/docs/1.6/json/#vulnerabilities)."""

from typing import Any
from urllib.parse import unquote

from dockgate.gate.external import Asked, Format
from dockgate.gate.external._read import (
    EXPLOITED,
    PREDICTED,
    SUMMARY_LIMIT,
    Report,
    digest,
    found,
    image_of,
    lowest_fix,
    moment,
    number,
    objects,
    of_score,
    package_of,
    plain_package,
    severity,
    table,
    text,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.osrelease import os_id
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import FIX_NOT_TOLD, Finding, Rating, Severity

VERSIONS = ("1.4", "1.5", "1.6", "1.7")
_NESTING_LIMIT = 64
_METHODS = ("CVSSv4", "CVSSv31", "CVSSv3", "CVSSv2")


class CycloneDx:
    name = "cyclonedx"
    title = "CycloneDX with vulnerabilities"
    version = 1

    def recognises(self, document: Any) -> bool:
        return isinstance(document, dict) and document.get("bomFormat") == "CycloneDX" and "vulnerabilities" in document

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        """What `analysis` excuses counts: that is a VEX statement, to be believed of those whom a policy trusts."""
        version = document.get("specVersion")
        if version not in VERSIONS:
            raise UsageError(f"It is CycloneDX {text(version)}; read are {', '.join(VERSIONS)}.")
        told = table(document.get("metadata"))
        root = table(told.get("component"))
        stated = (text(root.get("version")), unquote(text(root.get("purl")).partition("?")[0]))
        components = _components(document, root)
        report = Report(
            source=_tool(told) or self.name,
            image=image_of(map(digest, stated), asked),
            at=moment(told.get("timestamp")),
            distribution=_system(components),
            missing_fields={*EXPLOITED, *PREDICTED, "fixed_at"},
        )
        packages = {reference: _package(one, report, asked) for reference, one in components.items()}
        report.packages.extend(package for package in packages.values() if package.purl)
        for index, one in enumerate(objects(document["vulnerabilities"], "vulnerabilities")):
            where = f"vulnerabilities[{index}]"
            affected = objects(one.get("affects"), f"{where}.affects")
            if not text(one.get("id")):
                raise UsageError(f"{where} has no id.")
            for entry in affected or [{}]:
                if not _spared(entry, where):
                    report.findings.append(_finding(one, entry, where, packages, asked))
        return (report.reported(),)


FORMAT: Format = CycloneDx()


def _tool(told: dict[str, Any]) -> str:
    """The first tool's name, in the form of 1.4 (a list) or of 1.5 (an object of components)."""
    tools = told.get("tools")
    listed = tools if isinstance(tools, list) else table(tools).get("components")
    named = listed if isinstance(listed, list) else ()
    return next((text(one.get("name")).lower() for one in named if isinstance(one, dict)), "")


def _components(document: dict[str, Any], root: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By bom-ref, also those within others."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [(one, 1) for one in objects(document.get("components"), "components")]
    waiting += [(root, 1)] if root else []
    while waiting:
        component, depth = waiting.pop()
        if depth > _NESTING_LIMIT:
            raise UsageError(f"It has components nested more than {_NESTING_LIMIT} deep.")
        found.setdefault(text(component.get("bom-ref")) or text(component.get("purl")), component)
        waiting += [(one, depth + 1) for one in objects(component.get("components"), "components")]
    return found


def _system(components: dict[str, dict[str, Any]]) -> Distribution | None:
    for one in components.values():
        if one.get("type") == "operating-system" and text(one.get("name")):
            return Distribution(os_id(text(one.get("name"))), text(one.get("version")))
    return None


def _package(component: dict[str, Any], report: Report, asked: Asked) -> Package:
    purl, version = text(component.get("purl")), text(component.get("version"))
    if component.get("type") in ("container", "operating-system"):
        purl = ""
    group, name = text(component.get("group")), text(component.get("name"))
    return package_of(asked, f"{group}/{name}" if group else name, version, purl, report.distribution)


def _spared(entry: dict[str, Any], where: str) -> bool:
    """Whether all the versions that it names are said to be unaffected."""
    versions = objects(entry.get("versions"), f"{where}.affects.versions")
    return bool(versions) and all(one.get("status") == "unaffected" for one in versions)


def _finding(
    one: dict[str, Any], entry: dict[str, Any], where: str, packages: dict[str, Package], asked: Asked
) -> Finding:
    reference = text(entry.get("ref"))
    package = packages.get(reference) or packages.get(unquote(reference.rpartition("#")[2]))
    package = package or plain_package(reference, "", reference if reference.startswith("pkg:") else "")
    fixes = [
        text(version.get("version"))
        for version in objects(entry.get("versions"), f"{where}.affects.versions")
        if version.get("status") == "unaffected" and text(version.get("version"))
    ]
    others = [text(other.get("id")) for other in objects(one.get("references"), f"{where}.references")]
    return found(
        (text(one.get("id")), *others),
        package,
        _rating(one, where),
        lowest_fix(asked, package, fixes),
        note=FIX_NOT_TOLD,
        published=moment(one.get("published")),
        summary=text(one.get("description"))[:SUMMARY_LIMIT],
    )


def _rating(one: dict[str, Any], where: str) -> Rating:
    """That of the vulnerability's own source; else the worst of all that are given, for whose is the right one is not
    said. The score is the newest standard's."""
    ratings = objects(one.get("ratings"), f"{where}.ratings")
    source = text(table(one.get("source")).get("name"))
    ratings = [rating for rating in ratings if text(table(rating.get("source")).get("name")) == source] or ratings
    words = [severity(rating.get("severity")) for rating in ratings]
    scored = [rating for rating in ratings if number(rating.get("score"), 10) >= 0]
    best = min(scored, key=_standard, default={})
    score = number(best.get("score"), 10)
    worst = min((word for word in words if word is not Severity.UNTRIAGED), key=lambda word: word.rank, default=None)
    return Rating("advisory", worst or of_score(score), score, text(best.get("vector")))


def _standard(rating: dict[str, Any]) -> tuple[int, float]:
    method = text(rating.get("method"))
    return _METHODS.index(method) if method in _METHODS else len(_METHODS), -number(rating.get("score"), 10)
