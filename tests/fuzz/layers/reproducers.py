"""Stored cases: a case's recipe, the trees of both runtimes, and Dockgate's reading.

```yaml
about: one sentence
base: debian               # the honest layer below, see integrity/checks.py
layers: [...]              # see recipe.py; images also have `image`, see images.py
runtimes:                  # the answers of the Go program: path -> content, "-> target", or the kind of device
  podman: {etc/os-release: ...}
  containerd: "refused: layer 1: archive/tar: invalid tar header"
unread: [...]              # the reasons for which we call the image unread; none where it is read as it stands
```
Files of the honest base are left out where they are as they were. Texts are Latin-1, as in recipes.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from tests.fuzz.layers import evidence, play
from tests.fuzz.layers.generate import Case
from tests.fuzz.layers.play import Played
from tests.fuzz.layers.recipe import octets, texts
from tests.fuzz.layers.runtimes import IMAGE, OVERLAY, File, Tree

_BASES = {
    name: {item["name"]: item for item in layer["items"] if item.get("type", "0") != "5"}
    for name, layer in evidence.BASES.items()
}
_REFUSED = "refused: "
_LINK = "-> "
# Where the program unpacks, another folder each time.
_FOLDER = re.compile(r"/unpack/[\w-]+(/[pc]\b)?")


def read(path: Path) -> tuple[Case, str]:
    """Read a case, and the mode in which the runtimes unpacked it."""
    document = load(path)
    case: Case = {key: document[key] for key in ("base", "layers", "image") if key in document}
    return case, document.get("mode", IMAGE if "image" in document else OVERLAY)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    return document


def write(path: Path, played: Played, mode: str = "") -> None:
    """Write a case, and preserve the file's own description."""
    before = load(path) if path.exists() else {}
    document: dict[str, Any] = {"about": before.get("about", "")}
    if mode and mode not in (IMAGE, OVERLAY):
        document["mode"] = mode
    document |= played.case
    document["runtimes"] = {tree.runtime: _answer(tree, played.case["base"]) for tree in played.trees}
    document["unread"] = sorted(played.reading.unread)
    lines = [
        f"{difference.kind}: {difference.runtime}: {difference.path}: {difference.detail}"
        for difference in played.differences
    ]
    if lines:
        document["differences"] = lines
    path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True))


def _answer(tree: Tree, base: str) -> Any:
    if tree.failure:
        return _REFUSED + _FOLDER.sub("", tree.failure)
    files = {texts(file.path): _content(file) for file in tree.files}
    same = {path for path, item in _BASES[base].items() if files.get(path) == _usual(item)}
    shown = {path: content for path, content in files.items() if path not in same}
    gone = sorted(_BASES[base].keys() - files.keys())
    return shown | ({"gone": gone} if gone else {})


def _usual(item: dict[str, Any]) -> str:
    return _LINK + item["link"] if item.get("type") == "2" else str(item["content"])


def _content(file: File) -> str:
    if file.kind == "l":
        return _LINK + texts(file.data)
    if file.kind == "f":
        return texts(file.data)
    return f"sha256 {file.data.hex()}" if file.kind == "F" else f"device {file.kind}"


def trees(document: dict[str, Any]) -> list[Tree]:
    """Return the recorded trees."""
    paths = []
    for runtime, answer in document["runtimes"].items():
        if isinstance(answer, str):
            paths.append(Tree(runtime, answer.removeprefix(_REFUSED), ()))
            continue
        gone = set(answer.get("gone", ()))
        base = {path: _usual(item) for path, item in _BASES[document["base"]].items() if path not in gone}
        files = {**base, **{path: content for path, content in answer.items() if path != "gone"}}
        paths.append(Tree(runtime, "", tuple(_file(path, content) for path, content in files.items())))
    return paths


def _file(path: str, content: str) -> File:
    if content.startswith(_LINK):
        return File(octets(path), "l", octets(content.removeprefix(_LINK)))
    if content.startswith("sha256 "):
        return File(octets(path), "F", bytes.fromhex(content.removeprefix("sha256 ")))
    if content.startswith("device "):
        return File(octets(path), content[-1], b"")
    return File(octets(path), "f", octets(content))


def replay(path: Path) -> Played:
    """Compare the case's recorded trees with what Dockgate reads now."""
    case, _ = read(path)
    return play.compared(case, *play.read(case), trees(load(path)))
