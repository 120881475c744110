"""Sparse files in all formats, valid and broken."""

from random import Random

from tests.fuzz.layers import evidence
from tests.fuzz.layers import odd_pieces as pieces
from tests.fuzz.layers.recipe import Item, Layer


def add_an_old_sparse_file(layer: Layer, items: list[Item], chance: Random) -> None:
    path, content = evidence.choose_evidence(chance)
    size = len(content)
    single_piece = [[0, size]]
    cut = size // 2
    sparse = chance.choice(
        (single_piece, [[0, cut], [cut, size - cut]], [[0, 0], *single_piece], [*single_piece, [size, 0]], [],
         [[512, size]], [[0, size + 9]],
         [[0, cut], [cut + 512, size - cut]], [[cut, size - cut], [0, cut]])
    )  # fmt: skip
    real = chance.choice((size, size, size + 512, 0, 1024, size - 1))
    item: Item = {
        "name": path, "type": "S", "content": content, "sparse": sparse, "real": real,
        "magic": chance.choice(("ustar  \0", "ustar  \0", "ustar  \0", "ustar\x0000", "")),
    }  # fmt: skip
    if chance.random() < 0.3:
        item["sparse"], item["more"] = [], [sparse]
    pieces.insert_items(items, chance, item)


def add_a_new_sparse_file(layer: Layer, items: list[Item], chance: Random) -> None:
    """Add a sparse file with extended headers: formats 0.0, 0.1 and 1.0, and mixtures."""
    path, content = evidence.choose_evidence(chance)
    size = len(content)
    records: list[list[str]]
    form = chance.randrange(4)
    if form == 0:
        records = [
            ["GNU.sparse.size", str(size)], ["GNU.sparse.numblocks", "1"], ["GNU.sparse.offset", "0"],
            ["GNU.sparse.numbytes", str(size)],
        ]  # fmt: skip
    elif form == 1:
        records = [
            ["GNU.sparse.size", str(size)], ["GNU.sparse.numblocks", "1"], ["GNU.sparse.map", f"0,{size}"],
            ["GNU.sparse.name", path],
        ]  # fmt: skip
    else:
        records = [
            ["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"], ["GNU.sparse.name", path],
            ["GNU.sparse.realsize", str(size)],
        ]  # fmt: skip
        table = chance.choice((f"1\n0\n{size}\n", f"2\n0\n0\n0\n{size}\n", "0\n", f"1\n512\n{size}\n", "junk"))
        content = table + "\0" * (-len(table) % 512) + content
    change = chance.randrange(8)
    if change == 0:
        del records[chance.randrange(len(records))]
    elif change == 1:
        records[chance.randrange(len(records))][1] = ""
    elif change == 2:
        records[chance.randrange(len(records))][1] = chance.choice(("0", "1", "2", "10", path, "0,5"))
    elif change == 3:
        chance.shuffle(records)
    elif change == 4:
        records.append(["path", evidence.choose_plain_file(chance)[0]])
    item = {"name": chance.choice((path, "GNUSparseFile.0/x")), "content": content}
    if chance.random() < 0.1:
        item["type"] = chance.choice(("\0", "5", "1", "2", "7", "S"))
    if chance.random() < 0.2:
        item["magic"] = "ustar  \0"
    pieces.insert_items(items, chance, {"name": "pax", "type": "x", "records": records}, item)


ODDITIES = (
    (2, add_an_old_sparse_file),
    (2, add_a_new_sparse_file),
)
