"""Tags that were moved to another digest: people are told once."""

from dockgate.events.ports import Notice
from dockgate.services.dependencies import Dependencies
from dockgate.services.effects import Effects, Step
from dockgate.services.notifications import notify
from dockgate.store.records import TagMove


def announce_moves(parts: Dependencies, effects: Effects) -> None:
    """Puts a notice for each move that was not announced yet."""
    for move in parts.store.images.unannounced_moves():
        effects.run(Step.ANNOUNCE, _announce, parts, move)


def _announce(parts: Dependencies, move: TagMove) -> None:
    """Puts the notice of the move, and marks it as announced. Called again it adds nothing."""
    name = f"{move.repository}:{move.tag}"
    notify(
        parts,
        Notice(
            key=f"tag-moved/{move.id}",
            kind="Tag Moved",
            title=f"The tag {name} was moved to another image",
            body=f"It named {move.previous}, and names {move.digest} now; pushed by {move.pushed_by or 'unknown'}.\n"
            "Deploys are by digest: what runs stays as it is.",
            detail={
                "repository": move.repository,
                "tag": move.tag,
                "previous": move.previous,
                "digest": move.digest,
                "by": move.pushed_by,
            },
        ),
    )
    parts.store.images.mark_move_announced(move.id, parts.now())
