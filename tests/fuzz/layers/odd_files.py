"""Oddities of entries: links, whiteouts, devices, paths written twice."""

from random import Random

from tests.fuzz.layers import evidence
from tests.fuzz.layers import odd_pieces as pieces
from tests.fuzz.layers.recipe import Item, Layer


def link_a_folder(layer: Layer, items: list[Item], chance: Random) -> None:
    """Write a file through a symbolic link, in this layer or the next."""
    item = pieces.make_evidence_item(chance)
    path = item["name"]
    folder, _, name = path.rpartition("/")
    alias = chance.choice(("app/link", "link", "x.so", "app/data", "lib/l", "srv", "app/libx.so.1", "opt/a/b", folder))
    up = "../" * alias.count("/")
    target = chance.choice(
        (f"/{folder}", up + folder, f"/{folder}/", f"{up}x/../{folder}", f"/./{folder}", "/" + up + folder)
    )
    link: Item = {"name": alias, "type": "2", "link": target}
    through: Item = {**item, "name": f"{alias}/{name}"}
    order = chance.randrange(6)
    if order == 0:
        pieces.insert_items(items, chance, link)
    elif order == 1:
        pieces.insert_items(items, chance, through)
    elif order == 2:
        pieces.insert_items(items, chance, link, {"name": alias + "/", "type": "5", "mode": 0o755}, through)
    elif order == 3:
        pieces.insert_items(items, chance, through, link)
    else:
        pieces.insert_items(items, chance, link, through)


def add_hard_links(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.make_evidence_item(chance)
    path = item["name"]
    names = [f"app/h{at}" for at in range(3)]
    kind = chance.randrange(9)
    links: list[Item]
    if kind == 0:
        links = [{**item, "name": names[0]}, {"name": path, "type": "1", "link": names[0]}]
    elif kind == 1:
        chain = [{"name": new, "type": "1", "link": old} for old, new in zip([path, *names], names, strict=False)]
        links = [item, *chain]
    elif kind == 2:
        links = [
            {"name": path, "type": "1", "link": chance.choice(("app/node_modules/base/package.json", "app/data/a"))}
        ]
    elif kind == 3:
        links = [{"name": path, "type": "1", "link": path}, item]
    elif kind == 4:
        links = [{"name": "app/s", "type": "2", "link": "data"}, {"name": path, "type": "1", "link": "app/s"}]
    elif kind == 5:
        links = [
            {**item, "name": names[0]}, {"name": path, "type": "1", "link": names[0]},
            {"name": names[0], "content": "other"},
        ]  # fmt: skip
    elif kind == 6:
        links = [
            {"name": "app/s", "type": "2", "link": "data"}, {**item, "name": "app/data/q"},
            {"name": path, "type": "1", "link": "app/s/q"},
        ]  # fmt: skip
    elif kind == 7:
        links = [
            {**item, "name": names[0]},
            {"name": path, "type": "1", "link": names[0], "content": "replaced content"},
        ]
    else:
        links = [{"name": path, "type": "1", "link": chance.choice(("app/data", "app", "", "/", "nowhere", "."))}]
    if chance.random() < 0.1:
        chance.shuffle(links)
    pieces.insert_items(items, chance, *links)


def add_whiteouts(layer: Layer, items: list[Item], chance: Random) -> None:
    paths = ("app/node_modules/base/package.json", "app/node_modules", "app/data/a", "srv", "srv/kept", "bin", "etc")
    path = chance.choice((*paths, pieces.choose_entry(items, chance)["name"].strip("/")))
    folder, _, name = path.rpartition("/")
    within = f"{folder}/" if folder else ""
    if chance.random() < 0.5:  # as a builder would
        items.append({"name": chance.choice((f"{within}.wh.{name}", f"{path}/.wh..wh..opq", f"./{within}.wh.{name}"))})
        return
    white = chance.choice(
        (
            f"{within}.wh.{name}", f"{path}/.wh..wh..opq", f"{within}.wh..wh..opq", ".wh..wh..opq", "./.wh..wh..opq",
            f"{within}.wh.", f"{within}.wh..", f"{within}.wh...", f"{within}.wh.{name}/x", f"{within}.wh.{name}/",
            f"{within}.wh..wh.{name}", f"{within}.wh..wh.plnk", f"{within}.wh..wh.aufs", f"{within}.WH.{name}",
            f"/.wh.{path}", f"{within}.wh..opq", f"{within}.wh..wh..opq/", f"{path}/.wh..wh..opq/x",
            f"x/../.wh.{name}",
            ".wh..wh..plnk/1", f"{within}.wh..wh.orph", f"{within}.wh.{name}\0", f"{within}.wh.\xff",
        )
    )  # fmt: skip
    item: Item = {"name": white}
    if chance.random() < 0.3:
        item["type"] = chance.choice(("\0", "5", "1", "2", "3", "6", "7"))
        item["link"] = chance.choice(("app/data/a", "data"))
    if chance.random() < 0.15:
        item["content"] = "content"
    choice = chance.random()
    if choice < 0.3 and path not in ("app", "etc"):
        pieces.insert_items(items, chance, item, {"name": path, "content": "again"})
    elif choice < 0.4:
        pieces.insert_items(items, chance, {"name": path, "content": "before"}, item)
    else:
        pieces.insert_items(items, chance, item)


def repeat_a_path(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.make_evidence_item(chance) if chance.random() < 0.6 else pieces.choose_entry(items, chance)
    path = item["name"]
    second: Item = {**item, "content": evidence.choose_evidence(chance)[1]}
    kind = chance.randrange(8)
    if kind == 0:
        second = {"name": path.rstrip("/") + "/", "type": "5", "mode": 0o755}
    elif kind == 1:
        second = {"name": path, "type": "2", "link": "/app/data/a"}
    elif kind == 2:
        second = {"name": f"{path}/below", "content": "below"}
    elif kind == 3:
        parent = path.rpartition("/")[0]
        second = {"name": parent or path, "content": "instead of the folder"}
    elif kind == 4:
        second = {"name": path, "type": chance.choice("346"), "devmajor": 0, "devminor": chance.choice((0, 0, 1))}
    elif kind == 5:
        second["name"] = pieces.spell_path(path, chance)
    elif kind == 6:
        parent = path.rpartition("/")[0]
        second = {"name": parent or path, "type": "2", "link": "/app"}
    pair = [item, second] if item not in items else [second]
    if chance.random() < 0.5:
        pair.reverse()
    pieces.insert_items(items, chance, *pair)


def add_a_device(layer: Layer, items: list[Item], chance: Random) -> None:
    """Add a character device 0:0, overlayfs' form of a whiteout."""
    path = chance.choice(("app/node_modules", "app/data/a", "srv", evidence.choose_evidence(chance)[0], "bin"))
    number = chance.choice((0, 0, 0, 1))
    kind = chance.choice("33346")
    pieces.insert_items(items, chance, {"name": path, "type": kind, "devmajor": number, "devminor": number})


def redirect_a_folder(layer: Layer, items: list[Item], chance: Random) -> None:
    """Add an attribute by which overlayfs shows another folder, or nothing, at a path."""
    path = evidence.choose_evidence(chance)[0]
    parent = chance.choice((path.rpartition("/")[0], "srv", "app/node_modules/new", "app/node_modules"))
    space = chance.choice(("trusted", "trusted", "trusted", "user", "security"))
    name, value = chance.choice(
        (("redirect", "/app/node_modules/base"), ("redirect", "/app"), ("redirect", "data"), ("opaque", "y"))
    )
    record = [f"SCHILY.xattr.{space}.overlay.{name}", value]
    folder: Item = {"name": f"{parent}/", "type": "5", "mode": 0o755}
    items += [{"name": "pax", "type": "x", "records": [record]}, folder]


def hide_the_root(layer: Layer, items: list[Item], chance: Random) -> None:
    """Add a whiteout of everything, which overlayfs ignores, and a package, so that some are left."""
    name = chance.choice((".wh..wh..opq", "./.wh..wh..opq", "/.wh..wh..opq", ".//.wh..wh..opq"))
    content = '{"name": "new", "version": "1.0.0"}'
    items += [{"name": name}, {"name": "app/node_modules/new/package.json", "content": content}]


ODDITIES = (
    (6, link_a_folder),
    (9, add_hard_links),
    (9, add_whiteouts),
    (6, repeat_a_path),
    (4, add_a_device),
    (3, redirect_a_folder),
    (2, hide_the_root),
)
