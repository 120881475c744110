"""Generate random cases, the same for the same seed: near-valid layers with one or two oddities.

A layer starts as a builder would write it (`generate_honest_items`). Oddities (`oddities.py`) change or add items. So
each layer differs from an honest one in few places, and most get past the first checks.
"""

from random import Random
from typing import Any

from tests.fuzz.layers import evidence, odd_stacks, oddities
from tests.fuzz.layers.recipe import Item, Layer

# `base` names the honest base (`evidence.BASES`), `layers` are those above it, lowest first; see also `images.py`.
Case = dict[str, Any]

STYLES = ("gnu", "ustar", "pax", "python")
_MAGIC = {"gnu": "ustar  \0"}


def generate_case(seed: int) -> Case:
    chance = Random(seed)  # noqa: S311 - repeatable
    count = chance.choices((1, 2, 3), (60, 30, 10))[0]
    base = "scratch" if chance.random() < 0.3 else "debian"
    layers = [generate_layer(chance, base, bare=chance.random() < 0.4) for _ in range(count)]
    if count > 1 and chance.random() < 0.6:
        odd_stacks.apply(layers, chance)
    return {"base": base, "layers": layers}


def generate_layer(chance: Random, base: str, *, bare: bool) -> Layer:
    """Generate a layer; `bare` means without oddities."""
    items = generate_honest_items(chance, base)
    new_layer: Layer = {"items": items}
    pack = chance.random()
    if pack < 0.85:
        new_layer["pack"] = "none"
    elif pack < 0.92:
        new_layer["pack"] = "zstd"
    if not bare:
        for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
            oddities.apply(new_layer, chance)
    return new_layer


def generate_honest_items(chance: Random, base: str) -> list[Item]:
    """Generate a layer's items in one builder's style; without a distribution, it has no database."""
    style = chance.choice(STYLES)
    items: list[Item] = []
    files: list[str] = []
    written_paths: set[str] = set()
    folders: set[str] = set()
    is_terse = chance.random() < 0.3  # some builders leave out folders that lower layers have
    for _ in range(chance.choice((1, 1, 2, 2, 3, 4))):
        choice = chance.random()
        if choice < 0.5:
            path, content = evidence.choose_evidence(chance)
            if base == "scratch" and path.startswith(("var/lib/dpkg", "etc/os-release")):
                path, content = f"app/node_modules/m/{chance.randrange(9)}", "content"
        elif choice < 0.75:
            path, content = evidence.choose_plain_file(chance)
        elif choice < 0.80:
            path, content = f"opt/{'long/' * chance.randrange(18, 30)}name", "content"
        else:
            path, content = evidence.choose_plain_file(chance)
        if path in written_paths:
            continue
        written_paths.add(path)
        if not is_terse:
            items += _make_folders(path, folders, style)
        targets = [file for file in files if style != "ustar" or len(file) <= 100]  # it has no place for longer ones
        if choice >= 0.80 and targets:
            items += _generate_special_entry(path, targets, folders, chance, style, is_terse=is_terse)
            continue
        for file, text in ((path, content), *evidence.list_siblings(path)):
            items += write_entry(file, {"content": text}, style, chance)
        files.append(path)
    return items


def _make_folders(path: str, folders: set[str], style: str) -> list[Item]:
    items: list[Item] = []
    parts = path.split("/")[:-1]
    for at in range(len(parts)):
        folder = "/".join(parts[: at + 1])
        if folder not in folders and folder not in ("bin", "lib") and len(folder) < 90:
            folders.add(folder)
            items += [{"name": folder + "/", "type": "5", "mode": 0o755, **_make_form(style)}]
    return items


def _generate_special_entry(
    path: str, files: list[str], folders: set[str], chance: Random, style: str, *, is_terse: bool
) -> list[Item]:
    """Generate an entry that is not a regular file: a link, whiteout or device."""
    choice = chance.choice((0, 1, 2, 3, 5) if is_terse else (0, 1, 2, 3, 4, 5))
    if choice == 0:
        return write_entry(path, {"type": "1", "link": chance.choice(files)}, style, chance)
    if choice <= 2:
        target = chance.choice((chance.choice(files), f"/{chance.choice(files)}", "usr/bin", "../usr/lib", "nowhere"))
        return write_entry(path, {"type": "2", "link": target}, style, chance)
    if choice == 3:
        missing_path = chance.choice(("srv/kept", "app/data/a"))  # which no layer writes
        parent, _, last = missing_path.rpartition("/")
        return write_entry(f"{parent}/.wh.{last}".lstrip("/"), {}, style, chance)
    if choice == 4:
        mark = f"{chance.choice(('app/data', 'srv'))}/.wh..wh..opq"
        return [*_make_folders(mark, folders, style), *write_entry(mark, {}, style, chance)]
    return write_entry(path, {"type": chance.choice("346"), "devmajor": 1, "devminor": 3}, style, chance)


def write_entry(path: str, fields: Item, style: str, chance: Random) -> list[Item]:
    """Write an entry in a builder's style: where it puts long names and times."""
    item = {"name": path, **fields, **_make_form(style)}
    link = fields.get("link", "")
    records: list[list[str]] = []
    before: list[Item] = []
    if style in ("pax", "python"):
        if len(path) > 100 and not (style == "pax" and _split(item)):
            records.append(["path", path])
        if len(link) > 100:
            records.append(["linkpath", link])
        if style == "python" and chance.random() < 0.3:
            records.append(["mtime", "1700000000.5"])
        if chance.random() < 0.1:
            records.append(["SCHILY.xattr.user.mime", "text/plain"])
        if chance.random() < 0.05:
            records.append(["SCHILY.xattr.security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"])
        if records:
            folder, _, name = path.rpartition("/")
            label = f"{folder}/PaxHeaders.0/{name}"[-100:] if style == "pax" else "././@PaxHeader"
            before = [{"name": label, "type": "x", "records": records, **_make_form(style)}]
    elif style == "gnu":
        if len(path) > 100:
            before.append({"name": "././@LongLink", "type": "L", "content": path + "\0", **_make_form(style)})
        if len(link) > 100:
            before.append({"name": "././@LongLink", "type": "K", "content": link + "\0", **_make_form(style)})
    elif len(path) > 100 and not _split(item):
        item["name"] = path[-60:].lstrip("/")  # ustar has no place for it
    return [*before, item]


def _split(item: Item) -> bool:
    """Move the beginning of a long name into the prefix, if there is room."""
    path = item["name"]
    cut = path[:156].rfind("/")
    if cut <= 0 or len(path) - cut - 1 > 100 or cut > 155:
        return False
    item["prefix"], item["name"] = path[:cut], path[cut + 1 :]
    return True


def _make_form(style: str) -> Item:
    form: Item = {"magic": _MAGIC[style]} if style in _MAGIC else {}
    if style == "gnu":
        form |= {"uname": "root", "gname": "root"}
    return form
