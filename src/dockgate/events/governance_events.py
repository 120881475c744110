"""Events of what decides about findings: policies, waivers, VEX documents and advisories. Pure."""

from collections.abc import Mapping, Sequence

from dockgate.events.envelope import make_event
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.gate.model import Waiver
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import PolicyAssignment

_SCOPE = ("vulnerability", "package", "rule", "unread", "repository", "image")


def make_waiver_event(
    kind: str,
    waiver: Waiver,
    time: str,
    by: str | None = None,
    key: str | None = None,
    covered_by: str | None = None,
    fixed: Sequence[Mapping[str, str]] | None = None,
) -> NewEvent:
    """An event about a waiver.

    The kinds without a maker of their own are "waiver.expiring" (it ends soon), "waiver.expired" (its end has come:
    what it accepted counts again, unless another waiver, `covered_by`, accepts all of it) and "waiver.restored" (its
    end was announced by a clock that was ahead). `time` identifies the announcement, unless there is a `key`: what such
    a clock announced is announced again.
    """
    scope: Mapping[str, str] = {name: value for name in _SCOPE if (value := getattr(waiver, name))}
    detail = {
        "waiver": waiver.id,
        "owner": waiver.owner,
        "until": waiver.until,
        "reason": waiver.reason,
        "scope": scope,
        "by": by,
        "covered_by": covered_by,
        "fixed": fixed,
    }
    return make_event(
        kind,
        EventSubject(SubjectKind.WAIVER, waiver.id),
        key or f"{waiver.id}/{time}",
        time,
        detail,
        repository=waiver.repository,
    )


def make_waiver_fixed(waiver: Waiver, packages: Sequence[tuple[str, str]], time: str) -> NewEvent:
    """The event that a fix exists for what a waiver accepts.

    `packages` have a name and a fixed version.
    """
    fixed = [{"package": name, "fixed": version} for name, version in packages]
    return make_waiver_event("waiver.fixed", waiver, time, key=waiver.id, fixed=fixed)


def make_waiver_added(waiver: Waiver, time: str) -> NewEvent:
    """The event that a waiver was accepted."""
    return make_waiver_event("waiver.added", waiver, time, waiver.created_by, key=waiver.id)


def make_waiver_revoked(waiver: Waiver, by: str, time: str) -> NewEvent:
    """The event that a waiver was revoked: what it accepted counts again."""
    return make_waiver_event("waiver.revoked", waiver, time, by, key=waiver.id)


def make_policy_changed(version: PolicyVersion, time: str) -> NewEvent:
    """The event that a policy has a new version, which may be its removal."""
    detail = {
        "policy": version.name,
        "version": version.version,
        "change": "removed" if version.is_removed else "published",
        "by": version.changed_by,
        "comment": version.comment,
    }
    key = f"{version.name}/{version.version}"
    return make_event("policy.changed", EventSubject(SubjectKind.POLICY, version.name), key, time, detail)


def make_assignment_changed(
    name: str, assignment: PolicyAssignment | None, number: int, by: str, time: str
) -> NewEvent:
    """The event that a policy assignment was applied, or removed if it is None.

    `number` identifies the change.
    """
    detail = {
        "assignment": name,
        "change": "applied" if assignment is not None else "removed",
        "policy": assignment.policy if assignment is not None else None,
        "repositories": list(assignment.repositories) if assignment is not None else None,
        "owners": list(assignment.owners) if assignment is not None else None,
        "by": by,
    }
    return make_event(
        "assignment.changed", EventSubject(SubjectKind.ASSIGNMENT, name), f"{name}/{number}", time, detail
    )


def make_vex_event(kind: str, document: str, image: str | None, author: str, by: str | None, time: str) -> NewEvent:
    """The event that a VEX document counts from now on ("vex.added"), or not any more ("vex.removed").

    `by` uploaded or removed it, or it is attached to `image`.
    """
    detail = {"document": document, "image": image, "author": author, "by": by}
    return make_event(
        kind, EventSubject(SubjectKind.DOCUMENT, document), f"{document}/{image or ''}/{time}", time, detail
    )


def make_advisories_changed(digest: str, previous: str | None, time: str) -> NewEvent:
    """The event that findings are of another advisory database from now on, None for no `previous` one."""
    detail = {"digest": digest, "previous": previous}
    return make_event("advisories.changed", EventSubject(SubjectKind.ADVISORIES), f"{digest}/{time}", time, detail)
