"""Approved images whose verdict is followed, for callbacks and attestations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select, update

from dockgate.delivery.model import ApprovalId
from dockgate.delivery.registry_access import SERVER
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.events.outbox import Outbox, add_entries, get_registry_receiver
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.records import FollowedImage, ImageLocation, OutboxEntry, OutboxKind
from dockgate.store.schema.delivery import followed_callbacks, followed_images
from dockgate.store.schema.events import outbox
from dockgate.store.schema.gate import reports
from dockgate.store.schema.images import image_uses, pushed_images, scans
from dockgate.store.statements import insert_all_new, lock_rows

# The better ones first.
_STATUSES = (Status.APPROVED, Status.UNDETERMINED, Status.REJECTED)
# Callbacks with these schemes receive changed verdicts; others belong to pipelines that wait for one answer.
_SCHEMES = ("http", "https")

# An approval: its id, image, repository and policy.
ApprovalKey = tuple[ApprovalId, str, str, PolicyReference]

_FOLLOWED_IMAGE = select_as(FollowedImage, followed_images)
_FOLLOWED_IMAGES = _FOLLOWED_IMAGE.order_by(*followed_images.primary_key.columns)
_STATUS = select(followed_images.c.status).where(
    followed_images.c.image == bindparam("image"),
    followed_images.c.repository == bindparam("repository"),
    followed_images.c.policy == bindparam("policy"),
)
_POLICIES = select(followed_images.c.repository, followed_images.c.image, followed_images.c.policy).where(
    is_one_of(followed_images.c.image, "images")
)
_CALLBACKS = select(outbox.c.key, outbox.c.receiver, outbox.c.payload).where(
    outbox.c.kind == OutboxKind.WEBHOOK, is_one_of(outbox.c.key, "keys")
)
_LOCK_NOT_APPROVED = lock_rows(
    _FOLLOWED_IMAGE.where(
        is_one_of(followed_images.c.image, "images"), followed_images.c.status != Status.APPROVED
    ).order_by(*followed_images.primary_key)
)

_UNWATCHED_AT = followed_images.c.unwatched_at
_IS_USED_AGAIN = (
    select(image_uses.c.image)
    .where(image_uses.c.image == followed_images.c.image, image_uses.c.repository == followed_images.c.repository)
    .where(or_(image_uses.c.pulled_at >= _UNWATCHED_AT, image_uses.c.run_at >= _UNWATCHED_AT))
    .exists()
)
_IS_PUSHED_AGAIN = (
    select(pushed_images.c.digest)
    .where(
        pushed_images.c.digest == followed_images.c.image, pushed_images.c.repository == followed_images.c.repository
    )
    .where(pushed_images.c.pushed_at >= _UNWATCHED_AT)
    .exists()
)
_IMAGES = select(followed_images.c.image)
_IS_FIRST_DUE = and_(
    followed_images.c.renew_at.is_(None), followed_images.c.changed_at <= bindparam("first_renewal_of")
)
# What changes with the followed images, and with their scans, reports and pushers.
_REVISIONS = (
    select(
        func.count(),
        func.max(followed_images.c.changed_at),
        func.sum(followed_images.c.changes),
        func.count().filter(or_(followed_images.c.renew_at <= bindparam("now"), _IS_FIRST_DUE)),
    ),
    *(
        select(func.count()).select_from(followed_images).where(_UNWATCHED_AT.is_not(None), is_used)
        for is_used in (_IS_USED_AGAIN, _IS_PUSHED_AGAIN)
    ),
    select(func.count(), func.sum(scans.c.number)).where(scans.c.finished_at.is_not(None), scans.c.image.in_(_IMAGES)),
    select(func.count(), func.max(reports.c.added_at)).where(reports.c.image.in_(_IMAGES)),
    select(
        func.count(),
        func.count(pushed_images.c.pushed_by),
        func.count().filter(pushed_images.c.pushed_by == SERVER),
    ).where(pushed_images.c.digest.in_(_IMAGES)),
)
_RECORD_MESSAGE = (
    update(followed_callbacks)
    .where(followed_callbacks.c.approval == bindparam("key"))
    .values(status=bindparam("new"), messages=followed_callbacks.c.messages + 1)
)


class FollowedImages:
    """The present verdicts that approvals rely on, and what callbacks were notified of."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def list(self) -> Sequence[FollowedImage]:
        """All followed images, sorted."""
        with self._database.read() as connection:
            return [FollowedImage(**row) for row in connection.execute(_FOLLOWED_IMAGES).mappings()]

    def is_followed(self, image: str, repository: str, policy: PolicyReference) -> bool:
        """Return whether the verdict of this policy on the image in the repository is followed."""
        return self.find_status(image, repository, policy) is not None

    def find_status(self, image: str, repository: str, policy: PolicyReference) -> Status | None:
        """Return the present status by this policy of the image in the repository, None if it is not followed."""
        values = {"image": image, "repository": repository, "policy": policy}
        with self._database.read() as connection:
            status = connection.scalar(_STATUS, values)
        return None if status is None else Status(status)

    def count_messages(self, approval: ApprovalId) -> int:
        """The number of changed verdicts of which the callback of an approval was to be notified."""
        query = select(followed_callbacks.c.messages).where(followed_callbacks.c.approval == approval)
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def list_policies(self, images: Collection[str]) -> Mapping[ImageLocation, Collection[str]]:
        """Return the policies whose verdicts on these images are followed, sorted, by repository and image."""
        policies: dict[ImageLocation, list[str]] = {}
        with self._database.read() as connection:
            for row in connection.execute(_POLICIES, {"images": make_text_list(sorted(images))}):
                policies.setdefault(ImageLocation(row.repository, row.image), []).append(str(row.policy))
        return {location: sorted(names) for location, names in policies.items()}

    def read_revision(self, now: str, first_renewal_of: str) -> str:
        """A text that changes whenever an image is followed or is not any more, has another status, or is due.

        And when one is scanned again, reported or pushed, or is used again that was not watched any more.
        `first_renewal_of`: attestations of images that were approved until then are due for the first time.
        """
        values = {"now": now, "first_renewal_of": first_renewal_of}
        with self._database.read() as connection:
            rows = [connection.execute(query, values).one() for query in _REVISIONS]
        return "/".join(str(value) for row in rows for value in row)

    def change(self, followed_image: FollowedImage, status: Status, verdict: str, summary: str, now: str) -> bool:
        """Record another status of a watched image, by the verdict of this digest.

        Callbacks are notified of a worse one now, of a better one by `settle`. Returns False if it was recorded before.
        """
        return self._change(followed_image, status, verdict, summary, now, None)

    def end_watch(self, followed_image: FollowedImage, summary: str, now: str) -> bool:
        """Record that the image is not watched any more: to its callbacks, it is Undetermined from now on.

        It may be watched again: see `change`. Returns False if it was recorded before.
        """
        return self._change(followed_image, Status.UNDETERMINED, None, summary, now, now)

    def _change(
        self,
        followed_image: FollowedImage,
        status: Status,
        verdict: str | None,
        summary: str,
        now: str,
        unwatched_at: str | None,
    ) -> bool:
        with self._database.write() as connection:
            present_image = _lock(connection, followed_image)
            if present_image is None or (present_image.status, present_image.unwatched_at) == (status, unwatched_at):
                return False
            _record(connection, present_image, status, verdict, summary, now, unwatched_at)
        self._outbox.wake(OutboxKind.VERDICT_CHANGE)
        return True

    def settle(self, before: str, after: str, now: str) -> None:
        """Notify the callbacks whose last message is contradicted by a status that has settled.

        It has not changed since `before`. One that came `after` a time in the future is due, too.
        """
        columns = followed_images.c
        is_contradicted = _is_callback_of(columns) & (followed_callbacks.c.status != columns.status)
        is_due = or_(columns.changed_at <= before, columns.changed_at > after)
        query = _FOLLOWED_IMAGE.where(is_due, select(followed_callbacks.c.approval).where(is_contradicted).exists())
        with self._database.read() as connection:
            if connection.execute(query.limit(1)).first() is None:
                return
        with self._database.write() as connection:
            for row in connection.execute(lock_rows(query)).mappings().all():
                _enqueue_callbacks(connection, FollowedImage(**row), now, _STATUSES)
        self._outbox.wake(OutboxKind.VERDICT_CHANGE)

    def forget(self, followed_image: FollowedImage) -> None:
        """Follow an image no more that is not watched."""
        with self._database.write() as connection:
            present_image = _lock(connection, followed_image)
            if present_image is not None and present_image.unwatched_at is not None:
                connection.execute(delete(followed_callbacks).where(_is_callback_of(followed_image)))
                connection.execute(delete(followed_images).where(_is_image(followed_image)))

    def renew(self, followed_image: FollowedImage, verdict: str, now: str, renew_at: str) -> bool:
        """Make a renewed attestation due, and record when the next is.

        Earlier renewals that are done are deleted. Returns False if it was renewed meanwhile, or is not approved any
        more.
        """
        prefix = f"{ImageReference(followed_image.repository, followed_image.image)}/{followed_image.policy}/renewed/"
        with self._database.write() as connection:
            present_image = _lock(connection, followed_image)
            if (
                present_image is None
                or present_image.status != Status.APPROVED
                or present_image.renew_at != followed_image.renew_at
            ):
                return False
            connection.execute(
                update(followed_images).where(_is_image(followed_image)).values(renew_at=renew_at, verdict=verdict)
            )
            renewed_rows = (
                outbox.c.kind == OutboxKind.ATTESTATION,
                outbox.c.image == followed_image.image,
                outbox.c.next_at.is_(None),
                func.substr(outbox.c.key, 1, len(prefix)) == prefix,  # LIKE of SQLite takes "Strict" for "strict"
            )
            connection.execute(delete(outbox).where(*renewed_rows))
            entry = OutboxEntry(
                OutboxKind.ATTESTATION,
                key=f"{prefix}{now}",
                receiver=get_registry_receiver(followed_image.repository),
                payload={
                    "verdict": verdict,
                    "image": followed_image.image,
                    "repository": followed_image.repository,
                    "policy": followed_image.policy,
                    "renewed_at": now,
                },
                image=followed_image.image,
                due_since=now,
                next_at=now,
            )
            add_entries(connection, [entry])
        self._outbox.wake(OutboxKind.ATTESTATION)
        return True

    def forget_renewal(self, image: str, repository: str, policy: PolicyReference) -> None:
        """Have an image attested at once when it is approved again: an attestation was due, and was not made.

        Does nothing if it is approved already.
        """
        columns = followed_images.c
        is_image = columns.image == image, columns.repository == repository, columns.policy == policy
        with self._database.write() as connection:
            connection.execute(
                update(followed_images).where(*is_image, columns.status != Status.APPROVED).values(renew_at=None)
            )


def follow_images(connection: Connection, approvals_by_verdict: Mapping[str, Sequence[ApprovalKey]], now: str) -> None:
    """Follow what verdicts have approved: the approvals by each of them.

    Within the transaction that settles the approvals. An image that is followed already and not approved, or not
    watched any more, is approved again: the callbacks that got the end of the watch get that, too. It is judged once
    more, because the verdict may be older than what it is followed by.
    """
    images: dict[tuple[str, str, PolicyReference], FollowedImage] = {}
    for verdict, approvals in approvals_by_verdict.items():
        for key in sorted({approval[1:] for approval in approvals}):
            images.setdefault(key, FollowedImage(*key, Status.APPROVED, verdict, None, now))
    insert_all_new(connection, followed_images, [asdict(followed_image) for followed_image in images.values()])
    digests = sorted({image for image, _, _ in images})
    for row in connection.execute(_LOCK_NOT_APPROVED, {"images": make_text_list(digests)}).mappings().all():
        present_image = FollowedImage(**row)
        new_image = images.get((present_image.image, present_image.repository, present_image.policy))
        if new_image is not None:
            summary = "The image is approved again."
            _record(connection, present_image, Status.APPROVED, new_image.verdict, summary, now, None)
    approvals_by_id = {approval[0]: approval for approvals in approvals_by_verdict.values() for approval in approvals}
    callbacks = [
        {
            "approval": key,
            "image": approvals_by_id[key][1],
            "repository": approvals_by_id[key][2],
            "policy": approvals_by_id[key][3],
            "receiver": receiver,
            "callback": payload["callback"],
            "status": Status.APPROVED,
            "messages": 0,
        }
        for key, receiver, payload in connection.execute(_CALLBACKS, {"keys": make_text_list(list(approvals_by_id))})
        if payload["scheme"] in _SCHEMES
    ]
    insert_all_new(connection, followed_callbacks, callbacks)


def _record(
    connection: Connection,
    present_image: FollowedImage,
    status: Status,
    verdict: str | None,
    summary: str,
    now: str,
    unwatched_at: str | None,
) -> None:
    """Store the status and the end of the watch, and notify the callbacks that last got a better status.

    If a watch begins again, all are notified, unless a clock that was ahead had ended it.
    """
    new_state = replace(present_image, unwatched_at=unwatched_at)
    if present_image.status != status:
        new_verdict, changes = verdict or present_image.verdict, present_image.changes + 1
        new_state = replace(
            new_state, status=status, verdict=new_verdict, summary=summary, changed_at=now, changes=changes
        )
    is_restart = present_image.unwatched_at is not None and present_image.unwatched_at <= compute_latest_time(now)
    former_statuses = _STATUSES if is_restart else _STATUSES[: _STATUSES.index(status)]
    _enqueue_callbacks(connection, new_state, now, former_statuses)
    connection.execute(update(followed_images).where(_is_image(present_image)).values(**asdict(new_state)))


def _enqueue_callbacks(
    connection: Connection, followed_image: FollowedImage, now: str, former_statuses: Collection[Status]
) -> None:
    """Make a message to each due callback whose last status is one of these, and not the present one."""
    columns = followed_callbacks.c
    is_due = (
        _is_callback_of(followed_image),
        columns.status.in_(former_statuses),
        columns.status != followed_image.status,
    )
    callbacks = connection.execute(select(followed_callbacks).where(*is_due).order_by(columns.approval)).all()
    entries = [
        OutboxEntry(
            OutboxKind.VERDICT_CHANGE,
            key=f"{row.approval}/{row.messages + 1}",
            receiver=row.receiver,
            payload={
                "callback": row.callback,
                "approval": row.approval,
                "image": followed_image.image,
                "repository": followed_image.repository,
                "policy": followed_image.policy,
                "before": row.status,
                "status": followed_image.status,
                "summary": followed_image.summary or "",
                "verdict": followed_image.verdict if followed_image.unwatched_at is None else None,
                "number": row.messages + 1,
                "at": now,
            },
            image=followed_image.image,
            due_since=now,
            next_at=now,
            subject=EventSubject(SubjectKind.APPROVAL, row.approval),
            position=row.messages + 1,
        )
        for row in callbacks
    ]
    add_entries(connection, entries)
    if callbacks:
        connection.execute(_RECORD_MESSAGE, [{"key": row.approval, "new": followed_image.status} for row in callbacks])


def _lock(connection: Connection, followed_image: FollowedImage) -> FollowedImage | None:
    row = connection.execute(lock_rows(_FOLLOWED_IMAGE.where(_is_image(followed_image)))).mappings().first()
    return None if row is None else FollowedImage(**row)


def _is_image(followed_image: FollowedImage) -> ColumnElement[bool]:
    columns = followed_images.c
    return and_(
        columns.image == followed_image.image,
        columns.repository == followed_image.repository,
        columns.policy == followed_image.policy,
    )


def _is_callback_of(followed_image: Any) -> ColumnElement[bool]:
    """The condition for the callbacks of an image, or of the images with these columns."""
    columns = followed_callbacks.c
    return and_(
        columns.image == followed_image.image,
        columns.repository == followed_image.repository,
        columns.policy == followed_image.policy,
    )
