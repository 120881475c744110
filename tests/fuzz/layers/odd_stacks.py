"""Oddities over several layers: one writes what another links to, replaces or removes."""

from collections.abc import Callable
from random import Random

from tests.fuzz.layers import evidence
from tests.fuzz.layers.recipe import Item, Layer

# Folders, or links to folders, in the bases.
_FOLDERS = ("app/node_modules", "app/data", "srv", "app/node_modules/base", "lib", "bin")


def apply(layers: list[Layer], chance: Random) -> None:
    """Apply one of the oddities to two or three layers."""
    chosen = chance.choice(_ALL)
    parts = chosen(chance)
    indexes = sorted(chance.choices(range(len(layers)), k=len(parts)))
    for index, items in zip(indexes, parts, strict=True):
        layer = layers[index]
        at = chance.choice((0, len(layer["items"])))
        layer["items"][at:at] = items
        layer.setdefault("odd", []).append(chosen.__name__)


def _folder(path: str) -> Item:
    return {"name": f"{path}/", "type": "5", "mode": 0o755}


def _instead(path: str, chance: Random) -> Item:
    """Add something that is not a folder."""
    return chance.choice(
        (
            {"name": path, "type": "2", "link": chance.choice(("data", "/app/data", "/usr/bin", "nowhere", "."))},
            {"name": path, "content": "no folder"},
            {"name": path, "type": "6"},
            {"name": path, "type": "3", "devmajor": 0, "devminor": 0},
        )
    )


def _whiteout(path: str) -> Item:
    folder, _, name = path.rpartition("/")
    return {"name": f"{folder}/.wh.{name}".lstrip("/")}


def link_then_write_through(chance: Random) -> list[list[Item]]:
    path, content = evidence.evidence(chance)
    folder, _, name = path.rpartition("/")
    if chance.random() < 0.3:
        above, _, last = folder.rpartition("/")
        folder, name = above or folder, f"{last}/{name}" if above else name
    alias = chance.choice(("app/link", "x.so", "app/libx.so.1", "lib/l", "bin/l", "srv/l"))
    target = chance.choice((f"/{folder}", "../" * alias.count("/") + folder))
    link: Item = {"name": alias, "type": "2", "link": target}
    written: Item = {"name": f"{alias}/{name}", "content": content}
    within = [_folder(alias)] if chance.random() < 0.3 else []
    parts = [[link], [*within, written]]
    if chance.random() < 0.3:
        parts.append([chance.choice((_whiteout(alias), _instead(alias, chance), _folder(alias)))])
    return parts


def replace_a_folder(chance: Random) -> list[list[Item]]:
    path = chance.choice(_FOLDERS)
    again = [_folder(path)]
    if chance.random() < 0.5:
        again.append(
            {"name": f"{path}/{chance.choice(('a', 'package.json'))}", "content": '{"name": "a", "version": "1.0.0"}'}
        )
    if chance.random() < 0.3:
        del again[0]
    first = [_whiteout(path)] if chance.random() < 0.3 else [_instead(path, chance)]
    return [first, again] if chance.random() < 0.7 else [again, first]


def hide_and_write_again(chance: Random) -> list[list[Item]]:
    path, content = evidence.evidence(chance)
    folder = path.rpartition("/")[0]
    mark = chance.choice((_whiteout(path), _whiteout(folder), {"name": f"{folder}/.wh..wh..opq"}))
    more: list[Item] = [{"name": path, "content": evidence.evidence(chance)[1]}] if chance.random() < 0.5 else []
    return [[{"name": path, "content": content}], [mark], more]


def link_to_a_lower_file(chance: Random) -> list[list[Item]]:
    path, content = evidence.evidence(chance)
    alias, hidden = chance.choice((("app/kept", path), (path, "app/kept")))
    link: Item = {"name": alias, "type": chance.choice("12"), "link": hidden}
    return [[{"name": hidden, "content": content}], [link], [_whiteout(hidden)] if chance.random() < 0.5 else []]


_ALL: tuple[Callable[[Random], list[list[Item]]], ...] = (
    hide_and_write_again,
    link_then_write_through,
    link_then_write_through,
    link_to_a_lower_file,
    replace_a_folder,
)


def names() -> set[str]:
    """Names in a layer's `odd`."""
    return {oddity.__name__ for oddity in _ALL}
