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
from tests.fuzz.layers.recipe import decode_text, encode_text
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


def write(path: Path, result: Played, mode: str = "") -> None:
    """Write a case, and preserve the file's own description."""
    before = load(path) if path.exists() else {}
    document: dict[str, Any] = {"about": before.get("about", "")}
    if mode and mode not in (IMAGE, OVERLAY):
        document["mode"] = mode
    document |= result.case
    document["runtimes"] = {tree.runtime: _answer(tree, result.case["base"]) for tree in result.trees}
    document["unread"] = sorted(result.reading.unread)
    lines = [
        f"{difference.kind}: {difference.runtime}: {difference.path}: {difference.detail}"
        for difference in result.differences
    ]
    if lines:
        document["differences"] = lines
    path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True))


def _answer(tree: Tree, base: str) -> Any:
    if tree.failure:
        return _REFUSED + _FOLDER.sub("", tree.failure)
    files = {decode_text(file.path): _describe_content(file) for file in tree.files}
    usual_paths = {path for path, item in _BASES[base].items() if files.get(path) == _get_usual_content(item)}
    unusual_files = {path: content for path, content in files.items() if path not in usual_paths}
    missing_paths = sorted(_BASES[base].keys() - files.keys())
    return unusual_files | ({"gone": missing_paths} if missing_paths else {})


def _get_usual_content(item: dict[str, Any]) -> str:
    return _LINK + item["link"] if item.get("type") == "2" else str(item["content"])


def _describe_content(file: File) -> str:
    if file.kind == "l":
        return _LINK + decode_text(file.data)
    if file.kind == "f":
        return decode_text(file.data)
    return f"sha256 {file.data.hex()}" if file.kind == "F" else f"device {file.kind}"


def read_trees(document: dict[str, Any]) -> list[Tree]:
    """Return the recorded trees."""
    paths = []
    for runtime, answer in document["runtimes"].items():
        if isinstance(answer, str):
            paths.append(Tree(runtime, answer.removeprefix(_REFUSED), ()))
            continue
        missing_paths = set(answer.get("gone", ()))
        base = {
            path: _get_usual_content(item)
            for path, item in _BASES[document["base"]].items()
            if path not in missing_paths
        }
        files = {**base, **{path: content for path, content in answer.items() if path != "gone"}}
        paths.append(Tree(runtime, "", tuple(_make_file(path, content) for path, content in files.items())))
    return paths


def _make_file(path: str, content: str) -> File:
    if content.startswith(_LINK):
        return File(encode_text(path), "l", encode_text(content.removeprefix(_LINK)))
    if content.startswith("sha256 "):
        return File(encode_text(path), "F", bytes.fromhex(content.removeprefix("sha256 ")))
    if content.startswith("device "):
        return File(encode_text(path), content[-1], b"")
    return File(encode_text(path), "f", encode_text(content))


def replay(path: Path) -> Played:
    """Compare the case's recorded trees with what Dockgate reads now."""
    case, _ = read(path)
    return play.compare_case(case, *play.read(case), read_trees(load(path)))
