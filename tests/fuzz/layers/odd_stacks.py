"""Oddities over several layers: one writes what another links to, replaces or removes."""

from collections.abc import Callable
from random import Random

from tests.fuzz.layers import evidence
from tests.fuzz.layers.recipe import Item, Layer

# Folders, or links to folders, in the bases.
_FOLDERS = ("app/node_modules", "app/data", "srv", "app/node_modules/base", "lib", "bin")


def apply(layers: list[Layer], chance: Random) -> None:
    """Apply one of the oddities to two or three layers."""
    oddity = chance.choice(_ALL)
    parts = oddity(chance)
    indexes = sorted(chance.choices(range(len(layers)), k=len(parts)))
    for index, items in zip(indexes, parts, strict=True):
        layer = layers[index]
        at = chance.choice((0, len(layer["items"])))
        layer["items"][at:at] = items
        layer.setdefault("odd", []).append(oddity.__name__)


def _make_folder(path: str) -> Item:
    return {"name": f"{path}/", "type": "5", "mode": 0o755}


def _make_replacement(path: str, chance: Random) -> Item:
    """Add something that is not a folder."""
    return chance.choice(
        (
            {"name": path, "type": "2", "link": chance.choice(("data", "/app/data", "/usr/bin", "nowhere", "."))},
            {"name": path, "content": "no folder"},
            {"name": path, "type": "6"},
            {"name": path, "type": "3", "devmajor": 0, "devminor": 0},
        )
    )


def _make_whiteout(path: str) -> Item:
    folder, _, name = path.rpartition("/")
    return {"name": f"{folder}/.wh.{name}".lstrip("/")}


def link_then_write_through(chance: Random) -> list[list[Item]]:
    path, content = evidence.choose_evidence(chance)
    folder, _, name = path.rpartition("/")
    if chance.random() < 0.3:
        parent, _, last = folder.rpartition("/")
        folder, name = parent or folder, f"{last}/{name}" if parent else name
    alias = chance.choice(("app/link", "x.so", "app/libx.so.1", "lib/l", "bin/l", "srv/l"))
    target = chance.choice((f"/{folder}", "../" * alias.count("/") + folder))
    link: Item = {"name": alias, "type": "2", "link": target}
    hidden_file: Item = {"name": f"{alias}/{name}", "content": content}
    within = [_make_folder(alias)] if chance.random() < 0.3 else []
    parts = [[link], [*within, hidden_file]]
    if chance.random() < 0.3:
        parts.append([chance.choice((_make_whiteout(alias), _make_replacement(alias, chance), _make_folder(alias)))])
    return parts


def replace_a_folder(chance: Random) -> list[list[Item]]:
    path = chance.choice(_FOLDERS)
    new_folder = [_make_folder(path)]
    if chance.random() < 0.5:
        new_folder.append(
            {"name": f"{path}/{chance.choice(('a', 'package.json'))}", "content": '{"name": "a", "version": "1.0.0"}'}
        )
    if chance.random() < 0.3:
        del new_folder[0]
    first = [_make_whiteout(path)] if chance.random() < 0.3 else [_make_replacement(path, chance)]
    return [first, new_folder] if chance.random() < 0.7 else [new_folder, first]


def hide_and_write_again(chance: Random) -> list[list[Item]]:
    path, content = evidence.choose_evidence(chance)
    folder = path.rpartition("/")[0]
    mark = chance.choice((_make_whiteout(path), _make_whiteout(folder), {"name": f"{folder}/.wh..wh..opq"}))
    new_files: list[Item] = (
        [{"name": path, "content": evidence.choose_evidence(chance)[1]}] if chance.random() < 0.5 else []
    )
    return [[{"name": path, "content": content}], [mark], new_files]


def link_to_a_lower_file(chance: Random) -> list[list[Item]]:
    path, content = evidence.choose_evidence(chance)
    alias, target = chance.choice((("app/kept", path), (path, "app/kept")))
    link: Item = {"name": alias, "type": chance.choice("12"), "link": target}
    return [[{"name": target, "content": content}], [link], [_make_whiteout(target)] if chance.random() < 0.5 else []]


_ALL: tuple[Callable[[Random], list[list[Item]]], ...] = (
    hide_and_write_again,
    link_then_write_through,
    link_then_write_through,
    link_to_a_lower_file,
    replace_a_folder,
)


def list_names() -> set[str]:
    """Names in a layer's `odd`."""
    return {oddity.__name__ for oddity in _ALL}
