"""Parts of oddities: a random entry, a position for another one, other spellings of a path."""

from random import Random

from tests.fuzz.layers import evidence
from tests.fuzz.layers.recipe import Item


def choose_entry_index(items: list[Item], chance: Random) -> int:
    """Return the index of a random entry that is not an extended header."""
    indexes = [at for at, item in enumerate(items) if "name" in item and item.get("type", "0") not in "xgLK"]
    return chance.choice(indexes) if indexes else 0


def choose_entry(items: list[Item], chance: Random) -> Item:
    return items[choose_entry_index(items, chance)]


def make_evidence_item(chance: Random) -> Item:
    path, content = evidence.choose_evidence(chance)
    return {"name": path, "content": content}


def insert_items(items: list[Item], chance: Random, *new_items: Item) -> None:
    at = chance.randrange(len(items) + 1)
    items[at:at] = new_items


def spell_path(path: str, chance: Random) -> str:
    """Spell a path in another way."""
    folder, _, name = path.rpartition("/")
    match chance.randrange(22):
        case 0:
            return "./" + path
        case 1:
            return "/" + path
        case 2:
            return path + "/"
        case 3:
            return path.replace("/", "//", 1)
        case 4:
            return path.replace("/", "/./", 1)
        case 5:
            return f"x/../{path}"
        case 6:
            return f"../{path}"
        case 7:
            return path.upper() if path.isascii() else path
        case 8:
            return f"{folder}/{chance.choice(('.', '..', '...', ' '))}"
        case 9:
            return path + "\0" + "tail"
        case 10:
            return path + chance.choice("\xff\xe9\x80\n\\ ")
        case 11:
            return f"{path}/{chance.choice(('', '.', 'x', '..'))}"
        case 12:
            return f"{folder}/x/../{name}"
        case 13:
            return f".//./{path}"
        case 14:
            return f"lib/../{path}"
        case 15:
            return f"bin/{name}"
        case 16:
            return f"/../{path}"
        case 17:
            return path + "//"
        case 18:
            return f"{path}/."
        case 19:
            return chance.choice(("", ".", "/", "./", "..", "//", "\0", "./."))
        case 20:
            return f"{folder}/../{folder.rpartition('/')[2]}/{name}"
        case _:
            return path.replace("/", chance.choice("\\\0"), 1)
