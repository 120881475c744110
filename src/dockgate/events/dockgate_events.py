"""Events of Dockgate, whose source is "dockgate", each with a constructor. Pure.

Those of waivers are in `governance_events`, events in the shape of AWS in `aws_events` and `delivery.execution_events`.

A constructor takes what happened and returns a `NewEvent`, whose id is derived from what happened. `schemas/` holds a
JSON Schema of each kind. A detail leaves out what is not known.
"""

from collections.abc import Mapping, Sequence

from dockgate.events.envelope import make_event
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.shared.references import ImageReference


def make_image_judged(
    *,
    cause: str,
    repository: str,
    image: str,
    tags: Sequence[str],
    policy: str,
    status: str,
    counts: Mapping[str, int],
    summary: str,
    waived_text: str | None,
    verdict: str,
    time: str,
) -> NewEvent:
    """The event that a verdict was made and kept under its `cause`.

    `verdict` is its digest, `counts` are findings by severity.
    """
    detail = {
        "repository": repository,
        "image": image,
        "tags": list(tags),
        "policy": policy,
        "status": status,
        "counts": dict(counts),
        "summary": summary,
        "waived": waived_text,
        "verdict": verdict,
    }
    return make_event(
        "image.judged", EventSubject(SubjectKind.IMAGE, image), cause, time, detail, repository=repository
    )


def make_service_risk_changed(
    kind: str,
    service: str,
    image: str,
    repository: str | None,
    owners: Sequence[str],
    since: str,
    deadline: str,
    summary: str,
    time: str,
    vulnerabilities: Sequence[tuple[str, str]] = (),
) -> NewEvent:
    """The event of a change of a time at risk.

    It is `service.at_risk`, `.risk_increased`, `.deadline_moved`, `.deadline_near`, `.deadline_passed` or `.recovered`.
    The time at risk began `since`. `vulnerabilities` are names and severities of the reasons, the most urgent first.
    `deadline` is when the policy wants the image replaced, `owners` are those of the image's repository.
    `time` identifies the change: a deadline that a clock announced which was ahead passes again.
    """
    detail = {
        "service": service,
        "image": image,
        "repository": repository,
        "owners": list(owners),
        "since": since,
        "deadline": deadline,
        "summary": summary,
        "vulnerabilities": [{"id": name, "severity": severity} for name, severity in vulnerabilities] or None,
    }
    return make_event(
        kind, EventSubject(SubjectKind.SERVICE, service), f"{service}/{time}", time, detail, repository=repository
    )


def make_feed_failed(
    feed: str, since: str, failures: Sequence[tuple[str, str]], advice: str, key: str, time: str
) -> NewEvent:
    """The event that an advisory feed cannot be updated since then.

    `failures` are its parts with reasons; earlier data, if any, stays in use.
    """
    parts = [{"part": part, "reason": reason} for part, reason in failures]
    detail = {"feed": feed, "since": since, "parts": parts, "advice": advice}
    return make_event("feed.failed", EventSubject(SubjectKind.FEED, feed), f"{feed}/{key}", time, detail)


def make_feed_recovered(feed: str, since: str, time: str) -> NewEvent:
    """The event that an advisory feed that failed or was stale since then was updated again."""
    return make_event(
        "feed.recovered", EventSubject(SubjectKind.FEED, feed), f"{feed}/{since}", time, {"feed": feed, "since": since}
    )


def make_feed_stale(feed: str, since: str, parts: Sequence[str], time: str) -> NewEvent:
    """The event for an advisory feed whose last check, at `since`, is too long ago.

    New verdicts that need it are Undetermined. The id has the day of the announcement, as in `make_feed_suspect`.
    """
    detail = {"feed": feed, "since": since, "parts": list(parts)}
    key = f"{feed}/{since}/{time[:10]}"
    return make_event("feed.stale", EventSubject(SubjectKind.FEED, feed), key, time, detail)


def make_feed_suspect(feed: str, part: str, newest_record: str, since: str, time: str) -> NewEvent:
    """The event that a part of a feed has brought nothing for an unusually long time.

    Its newest record is of the day `newest_record`, and `since` then that is unusual for it. The day of the
    announcement is part of the id: what a clock announced that was ahead is announced again when it is so.
    """
    detail = {"feed": feed, "part": part, "newest": newest_record, "since": since}
    return make_event("feed.suspect", EventSubject(SubjectKind.FEED, feed), f"{part}/{since}/{time[:10]}", time, detail)


def make_verdict_changed(
    image: str,
    repository: str,
    policy: str,
    former_status: str,
    status: str,
    counts: Mapping[str, int],
    since: str,
    change_key: str | None = None,
    former_policy: str | None = None,
    vulnerabilities: Sequence[Mapping[str, str]] = (),
    reason: str | None = None,
) -> NewEvent:
    """The event that the current verdict of an image by a policy has another status.

    `counts` are its findings by severity. `change_key` identifies the change among those of the image, where `since`
    does not. `former_policy` gave `former_status`, if it was another policy. `vulnerabilities` are new in the image, or
    worse than before, each with `id` and `severity`. `reason` says which waiver ended.
    """
    detail: dict[str, object] = {
        "image": image,
        "repository": repository,
        "policy": policy,
        "previous": former_status,
        "status": status,
        "counts": dict(counts),
        "since": since,
    }
    if former_policy not in (None, policy):
        detail["former_policy"] = former_policy
    if vulnerabilities:
        detail["vulnerabilities"] = list(vulnerabilities)
    if reason:
        detail["reason"] = reason
    key = f"{policy}/{image}/{change_key or since}"
    return make_event(
        "verdict.changed", EventSubject(SubjectKind.IMAGE, image), key, since, detail, repository=repository
    )


def make_finding_exploited(
    image: str, repository: str, vulnerabilities: Sequence[Mapping[str, str]], time: str
) -> NewEvent:
    """The event that KEV lists vulnerabilities of an image that did not count when it was judged.

    They were not in the image's findings, or not in KEV. The status of its verdict is the same as before. Each
    vulnerability has `id` and `severity`.
    """
    detail = {"image": image, "repository": repository, "vulnerabilities": list(vulnerabilities)}
    key = f"{ImageReference(repository, image)}/{' '.join(sorted(entry['id'] for entry in vulnerabilities))}"
    return make_event(
        "finding.exploited", EventSubject(SubjectKind.IMAGE, image), key, time, detail, repository=repository
    )


def make_watch_ended(
    image: str, repository: str, policy: str, status: str, ended_at: str | None, time: str
) -> NewEvent:
    """The event that an image is not watched any more, once for each end of its watch.

    Nothing keeps `status`, its last one by the policy, current. The end is None for an image that was never used.
    """
    detail = {"image": image, "repository": repository, "policy": policy, "status": status}
    key = f"{ImageReference(repository, image)}/{ended_at or time}"
    return make_event("watch.ended", EventSubject(SubjectKind.IMAGE, image), key, time, detail, repository=repository)


def make_service_unhealthy(
    *, key: str, service: str, task: str, revision: int, image: str | None, reason: str, time: str
) -> NewEvent:
    """The event that a task of a service was not healthy, and was restarted if that was possible.

    `key` identifies the restart.
    """
    detail = {"service": service, "task": task, "revision": revision, "image": image, "reason": reason}
    return make_event("service.unhealthy", EventSubject(SubjectKind.SERVICE, service), f"{service}/{key}", time, detail)


def make_deploy_failed(
    *,
    key: str,
    service: str,
    reason: str | None,
    time: str,
    execution: str | None = None,
    pipeline: str | None = None,
    repository: str | None = None,
) -> NewEvent:
    """The event that a deploy or a rollout failed.

    The previous tasks run. `key` is that of the action or rollout.
    """
    detail = {"service": service, "execution": execution, "pipeline": pipeline, "reason": reason}
    return make_event(
        "deploy.failed",
        EventSubject(SubjectKind.SERVICE, service),
        key,
        time,
        detail,
        repository=repository,
        pipeline=pipeline,
    )


def make_deploy_succeeded(
    *,
    key: str,
    service: str,
    time: str,
    revision: int | None = None,
    desired_count: int | None = None,
    execution: str | None = None,
    pipeline: str | None = None,
    repository: str | None = None,
) -> NewEvent:
    """The event that a deploy or a rollout ended well: the service runs this revision.

    `key` is that of the action or rollout.
    """
    detail = {
        "service": service,
        "revision": revision,
        "desired_count": desired_count,
        "execution": execution,
        "pipeline": pipeline,
    }
    subject = EventSubject(SubjectKind.SERVICE, service)
    return make_event("deploy.succeeded", subject, key, time, detail, repository=repository, pipeline=pipeline)


def make_execution_failed(*, execution: str, pipeline: str, key: str, reason: str | None, time: str) -> NewEvent:
    """The event that an execution failed, for instance because its image was rejected.

    `key` distinguishes its failures.
    """
    detail = {"execution": execution, "pipeline": pipeline, "reason": reason}
    return make_event(
        "execution.failed",
        EventSubject(SubjectKind.EXECUTION, execution),
        f"{execution}/{key}",
        time,
        detail,
        pipeline=pipeline,
    )


def make_fix_available(
    *,
    fix: str,
    pipeline: str,
    repository: str,
    image: str,
    kind: str,
    summary: str,
    changes: Sequence[str],
    vulnerabilities: Sequence[str],
    obstacles: Sequence[str],
    commands: Sequence[str],
    branch: str | None,
    commit: str | None,
    execution: str | None,
    time: str,
) -> NewEvent:
    """The event that a rejected image would pass with these changes.

    `kind`: a change of files, a rebuild, or by hand. The change is on `branch`, or `execution` builds again; None for
    both if people have to do it. `obstacles` say why.
    """
    detail = {
        "fix": fix,
        "pipeline": pipeline,
        "repository": repository,
        "image": image,
        "kind": kind,
        "summary": summary,
        "changes": list(changes),
        "vulnerabilities": list(vulnerabilities),
        "obstacles": list(obstacles),
        "commands": list(commands),
        "branch": branch,
        "commit": commit,
        "execution": execution,
    }
    subject = EventSubject(SubjectKind.PIPELINE, pipeline)
    return make_event("fix.available", subject, fix, time, detail, repository=repository, pipeline=pipeline)


def make_approval_needed(
    *,
    approval: str,
    repository: str,
    image: str,
    pipeline: str | None,
    execution: str | None,
    service: str | None,
    summary: str,
    expires: str,
    approvers: Mapping[str, object],
    time: str,
) -> NewEvent:
    """The event that people have to approve an image, which the policy approves.

    `approvers` says who, and how many.
    """
    detail = {
        "approval": approval,
        "repository": repository,
        "image": image,
        "pipeline": pipeline,
        "execution": execution,
        "service": service,
        "summary": summary,
        "expires": expires,
        "approvers": dict(approvers),
    }
    subject = EventSubject(SubjectKind.APPROVAL, approval)
    return make_event("approval.needed", subject, approval, time, detail, repository=repository, pipeline=pipeline)


def make_tag_moved(
    *, push: str, repository: str, tag: str, previous: str, image: str, by: str | None, time: str
) -> NewEvent:
    """The event that a tag names another image than before.

    `push` identifies the push, `by` is who pushed.
    """
    detail = {"repository": repository, "tag": tag, "previous": previous, "image": image, "by": by}
    return make_event(
        "tag.moved", EventSubject(SubjectKind.TAG, f"{repository}:{tag}"), push, time, detail, repository=repository
    )


def make_pull_refused(
    *,
    window: int,
    repository: str,
    image: str,
    tag: str | None,
    by: str,
    reason: str,
    count: int,
    since: str,
    time: str,
) -> NewEvent:
    """The event that the pull policy refused an image to a caller.

    There is one event for each image and caller in a `window`. `count` pulls were refused since then, this one among
    them.
    """
    detail = {
        "repository": repository,
        "image": image,
        "tag": tag,
        "by": by,
        "reason": reason,
        "count": count,
        "since": since,
    }
    key = f"{ImageReference(repository, image)}/{by}/{window}"
    return make_event("pull.refused", EventSubject(SubjectKind.IMAGE, image), key, time, detail, repository=repository)
