"""Oddities of how a tar file ends and of how it is compressed."""

from random import Random

from tests.fuzz.layers import odd_pieces as pieces
from tests.fuzz.layers.recipe import Item, Layer


def end_otherwise(layer: Layer, items: list[Item], chance: Random) -> None:
    kind = chance.randrange(7)
    if kind == 0:
        layer["end"] = chance.choice((0, 1, 3, 20))
    elif kind == 1:
        pieces.insert_items(items, chance, {"zeros": chance.choice((512, 1024, 1536, 511, 1))})
    elif kind == 2:
        layer["behind"] = "junk" * chance.choice((1, 128, 200))
    elif kind == 3:
        layer["end"] = chance.choice((1, 2))
        items += [{"zeros": 512 * chance.choice((1, 2))}, pieces.make_evidence_item(chance)]
    elif kind == 4:
        pieces.insert_items(items, chance, {"raw": "junk" * chance.choice((1, 128))})
    elif kind == 5:
        layer["cut"] = chance.choice((1, 100, 512, 1024, 1025))
    else:
        layer["end"], layer["behind"] = 0, "\0" * chance.choice((1, 511, 513, 700))


def pack_otherwise(layer: Layer, items: list[Item], chance: Random) -> None:
    kind = chance.randrange(8)
    layer["pack"] = chance.choice(("gzip", "gzip", "zstd"))
    if kind <= 1:
        layer["cuts"] = [chance.randrange(101) for _ in range(chance.choice((1, 2, 3)))]
    elif kind == 2:
        layer["pack"], layer["gzip"] = (
            "gzip",
            {
                key: value
                for key, value in (
                    ("extra", "ab\2\0xy"),
                    ("name", "layer.tar"),
                    ("comment", "x"),
                    ("crc", True),
                    ("level", 0),
                )
                if chance.random() < 0.4
            }
            or {"name": ""},
        )
    elif kind == 3:
        layer["pack"], layer["skippable"] = "zstd", "x" * chance.choice((0, 5, 600))
        layer["skippable_at"] = chance.choice((0, 1))
    elif kind == 4:
        layer["trailer"] = chance.choice(("junk", "\0", "\0" * 512, "\x1f\x8b", "\x1f\x8b\x08junk", "x" * 600))
    elif kind == 5:
        layer["cut"] = chance.choice((1, 4, 8, 9, 20))
    elif kind == 6:
        layer["pack"] = chance.choice(("bzip2", "xz"))
    else:
        layer["cuts"], layer["trailer"] = [50], chance.choice(("\0", "junk"))


ODDITIES = (
    (3, end_otherwise),
    (5, pack_otherwise),
)
