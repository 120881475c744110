"""Oddities of headers: names, numbers, types, extended headers and long names."""

from random import Random

from tests.fuzz.layers import evidence
from tests.fuzz.layers import odd_pieces as pieces
from tests.fuzz.layers.recipe import Item, Layer


def spell_a_name(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    item["name"] = pieces.spell_path(item["name"], chance)


def spell_a_link(layer: Layer, items: list[Item], chance: Random) -> None:
    links = [item for item in items if item.get("type") in ("1", "2")]
    if links:
        item = chance.choice(links)
    else:
        item = {
            "name": evidence.choose_evidence(chance)[0],
            "type": chance.choice("12"),
            "link": pieces.choose_entry(items, chance)["name"],
        }
        items.append(item)
    item["link"] = pieces.spell_path(item.get("link", ""), chance)


def set_a_type(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    item["type"] = chance.choice(
        ("\0", "7", "1", "2", "3", "4", "5", "6", "A", "D", "M", "N", "V", "X", "S", "E", " ", "8")
    )
    if item["type"] in "12" and "link" not in item:
        item["link"] = chance.choice(("app/data/a", pieces.choose_entry(items, chance)["name"]))


_NUMBERS = (
    "", " ", "+5", "-5", "-0", "0x5", "0o5", "1_0", "0_1", "5 ", " 5", "\t5", "5\0junk", "5 junk", "8", "5\n", "\0005",
    "00000000005 ", "77777777777", "\x80\0\0\0\0\0\0\0\0\0\0\5", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "\xc0\0\0\0\0\0\0\0\0\0\0\5", "\x81\0\0\0\0\0\0\0\0\0\0\5",
    "000000000 5\0", "0000000\x005000",
)  # fmt: skip


def set_a_number(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    field = chance.choice(("size", "size", "size", "mode", "uid", "gid", "mtime", "devmajor", "devminor"))
    item[field] = chance.choice(_NUMBERS)


def set_a_size(layer: Layer, items: list[Item], chance: Random) -> None:
    """Set a wrong size, so that content and headers are mistaken for each other."""
    item = pieces.choose_entry(items, chance)
    item["size"] = chance.choice((0, 1, 511, 512, 513, 1024, 1536, 2048))


def set_a_checksum(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    if chance.random() < 0.7:
        item["name"] += "\xe9"
        item["sum"] = "signed"
    else:
        item["patch"] = [[148, chance.choice(("", "000000\0 ", "      \0 "))]]
        item["sum"] = chance.choice((0, 1, "signed"))


def set_the_magic(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    magics = ("ustar\x0000", "ustar  \0", "", "ustar\0  ", "ustar 00", "ustar\0\0\0", "USTAR\x0000", "ustar\x0001")
    item["magic"] = chance.choice(magics)
    if chance.random() < 0.5:
        item["prefix"] = chance.choice(("app", "app/data", "x", "00000000005\0" + "00000000005", "junk\0junk", "\xff"))
    if chance.random() < 0.3:
        item["tail"] = "tar\0"


def set_a_prefix(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    path = item["name"]
    folder, _, name = path.rpartition("/")
    item["prefix"], item["name"] = chance.choice(
        ((folder, name), ("app", path), ("/", path), (".", path), ("..", path), ("x/..", path), (folder + "/", name))
    )
    if chance.random() < 0.3:
        item["magic"] = "ustar  \0"


def patch_a_header(layer: Layer, items: list[Item], chance: Random) -> None:
    """Change any byte of the header, and correct the checksum."""
    item = pieces.choose_entry(items, chance)
    item["patch"] = [
        [chance.randrange(512), chr(chance.choice((0, 1, 32, 47, 48, 55, 56, 128, 255, chance.randrange(256))))]
        for _ in range(chance.choice((1, 1, 2, 4)))
    ]


def _make_records(item: Item, chance: Random) -> list[list[object]]:
    path = evidence.choose_evidence(chance)[0]
    plain = evidence.choose_plain_file(chance)[0]
    name = item.get("name", "")
    size = str(len(item.get("content", "")))
    pool: tuple[list[object], ...] = (
        ["path", path], ["path", plain], ["path", pieces.spell_path(path, chance)], ["path", ""], ["path", name + "/"],
        ["linkpath", plain], ["linkpath", path], ["linkpath", ""], ["linkpath", pieces.spell_path(plain, chance)],
        ["size", size], ["size", "0"], ["size", "512"], ["size", ""], ["size", "+" + size], ["size", " " + size],
        ["size", "00" + size], ["size", size + ".0"], ["size", "-1"], ["size", "1_0"], ["size", "0x1"], ["size", "1e1"],
        ["mtime", "1.5"], ["mtime", "x"], ["mtime", ""], ["uid", "5"], ["uid", "x"], ["uid", ""], ["uname", "\xff"],
        ["comment", "x"], ["charset", "BINARY"], ["hdrcharset", "BINARY"], ["hdrcharset", "ISO-IR 10646 2000 UTF-8"],
        ["PATH", path], ["Path", path], ["path ", path], [" path", path], ["path=x", path], ["path\0", path],
        ["", "x"], ["SCHILY.realsize", "5"], ["SCHILY.filetype", "regular"], ["SCHILY.dev", "1"],
        ["LIBARCHIVE.symlinktype", "dir"], ["LIBARCHIVE.creationtime", "1.5"], ["RHT.security.selinux", "x"],
        ["SCHILY.xattr.user.a", "b"], ["SCHILY.xattr.trusted.overlay.opaque", "y"], ["SCHILY.xattr.", "x"],
        ["SCHILY.xattr.trusted.overlay.redirect", "/app/data"], ["SCHILY.xattr.trusted.overlay.metacopy", ""],
        ["SCHILY.xattr.trusted.overlay.whiteout", "y"], ["SCHILY.xattr.user.overlay.opaque", "y"],
        ["SCHILY.xattr.trusted.overlay.redirect", "a"], ["SCHILY.xattr.trusted.overlay.opaque", "x"],
        ["SCHILY.xattr.security.capability", "x"], ["SCHILY.xattr.user.containers.override_stat", "0:0:0755:file"],
        ["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"], ["GNU.sparse.name", path], ["GNU.sparse.size", "10"],
        ["GNU.sparse.realsize", "10"], ["GNU.sparse.map", "0,5"], ["GNU.sparse.numblocks", "1"],
        ["GNU.sparse.name", ""],
        ["GNU.sparse.offset", "0"], ["GNU.sparse.numbytes", "5"], ["GNU.sparse.major", ""], ["GNU.sparse.map", ""],
        ["path", f"{path}\0x"], ["linkpath", "a\0b"], ["MSWINDOWS.fileattr", "32"], ["SCHILY.fflags", "immutable"],
        ["VENDOR.any", "x"], ["path", path, "5"], ["path", path, f"0{len(path) + 8}"],
        ["path", path, f" {len(path) + 8}"],
    )  # fmt: skip
    return [chance.choice(pool) for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4)))]


def extend_an_entry(layer: Layer, items: list[Item], chance: Random) -> None:
    """Add an extended header before an entry, or records to an existing one."""
    at = pieces.choose_entry_index(items, chance)
    records = _make_records(items[at], chance)
    if at and "records" in items[at - 1] and chance.random() < 0.7:
        known_records = items[at - 1]["records"]
        items[at - 1] = {
            **items[at - 1],
            "records": [*records, *known_records] if chance.random() < 0.5 else [*known_records, *records],
        }
        return
    items.insert(at, {"name": "pax", "type": "x", "records": records})


def extend_as_builders_do(layer: Layer, items: list[Item], chance: Random) -> None:
    """Add records that builders write, each once, with values at the limits."""
    at = pieces.choose_entry_index(items, chance)
    item = items[at]
    if at and item and items[at - 1].get("type", "0") in "xgLK":
        return
    path, plain = evidence.choose_evidence(chance)[0], evidence.choose_plain_file(chance)[0]
    size = str(len(item.get("content", "")))
    name = item.get("name", "x")
    pool = {
        "path": chance.choice(
            (path, plain, name, f"./{path}", f"/{path}", f"{path}\xc3\xa9", "x/" * 60 + "x", name + "/")
        ),
        "linkpath": chance.choice((path, plain, "/" + plain, "x" * 120)),
        "size": chance.choice((size, size, "0" + size, "0")),
        "mtime": chance.choice(("1.5", "0", "-1.5", "1e3", "1700000000.123456789123", "99999999999999999999")),
        "atime": "5",
        "uid": chance.choice(("0", "1000", "4294967294", "99999999999")),
        "uname": chance.choice(("root", "\xc3\xa9", "")),
        "comment": chance.choice(("x", "", "path=x", "\n12 path=a\n")),
        "charset": "x",
        "hdrcharset": chance.choice(("BINARY", "ISO-IR 10646 2000 UTF-8")),
        "SCHILY.xattr.user.a": chance.choice(("b", "", "\0", "\n")),
        "SCHILY.xattr.security.capability": "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.fflags": chance.choice(("immutable", "nodump", "")),
        "SCHILY.dev": "5",
        "LIBARCHIVE.creationtime": "1.5",
        "LIBARCHIVE.symlinktype": "dir",
        "RHT.security.selinux": "x",
        "MSWINDOWS.fileattr": "32",
    }
    keys = chance.sample(sorted(pool), chance.choice((1, 1, 2, 3)))
    items.insert(
        at,
        {
            "name": chance.choice(("pax", f"a/PaxHeaders/{name}"[:100])),
            "type": "x",
            "records": [[key, pool[key]] for key in keys],
        },
    )


def break_records(layer: Layer, items: list[Item], chance: Random) -> None:
    path = evidence.choose_evidence(chance)[0]
    good = f"{len(path) + 9} path={path}\n"
    good = good if len(path) + 9 >= 10 else f"{len(path) + 8} path={path}\n"
    content = chance.choice(
        (
            good + "\0" * 10, good[:-1] + "x", good + "junk", "0 \n" + good, good.replace("=", " "), "\n" + good,
            good.replace(" ", "  ", 1), "+" + good, "0" + good, good + good, good[:-1], " " + good, good.upper(), "",
            good + "5 a=\n", good + "99 a=b\n", "6 a=b\n" + good, "6 =bb\n" + good, good.replace(" ", "\t", 1),
        )
    )  # fmt: skip
    items.insert(
        pieces.choose_entry_index(items, chance), {"name": "pax", "type": chance.choice("xxg"), "content": content}
    )


def add_a_global_header(layer: Layer, items: list[Item], chance: Random) -> None:
    item = pieces.choose_entry(items, chance)
    records = _make_records(item, chance) if chance.random() < 0.6 else [["comment", "0123456789abcdef"]]
    pieces.insert_items(items, chance, {"name": "pax_global_header", "type": "g", "records": records})


def mix_headers(layer: Layer, items: list[Item], chance: Random) -> None:
    """Put long names, extended and global headers in any order before an entry."""
    at = pieces.choose_entry_index(items, chance)
    extra_headers: list[Item] = []
    for _ in range(chance.choice((1, 2, 2, 3, 4))):
        path = chance.choice(
            (evidence.choose_evidence(chance)[0], evidence.choose_plain_file(chance)[0], "x" * 120, "")
        )
        choice = chance.choice("LLKxxg")
        if choice in "LK":
            tail = chance.choice(("\0", "\0", "\0", "", "\0\0\0", "\0junk", "/", "\n", "/\0"))
            magic = chance.choice(("ustar  \0", "ustar  \0", "ustar  \0", "ustar\x0000", ""))
            extra_headers.append({"name": "././@LongLink", "type": choice, "content": path + tail, "magic": magic})
        else:
            records: list[list[object]] = (
                [["comment", "0123456789abcdef"]] if choice == "g" else [["path", path or "x"]]
            )
            if chance.random() < 0.2:
                records = _make_records(items[at], chance)
            extra_headers.append({"name": "pax_global_header", "type": choice, "records": records})
    items[at:at] = extra_headers
    if chance.random() < 0.1:
        items.append(extra_headers[0])


ODDITIES = (
    (12, spell_a_name),
    (6, spell_a_link),
    (4, set_a_type),
    (7, set_a_number),
    (4, set_a_size),
    (1, set_a_checksum),
    (2, set_the_magic),
    (6, set_a_prefix),
    (8, patch_a_header),
    (8, extend_an_entry),
    (14, extend_as_builders_do),
    (2, break_records),
    (3, add_a_global_header),
    (5, mix_headers),
)
