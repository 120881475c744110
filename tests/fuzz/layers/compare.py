"""Classify the differences between a runtime's tree and Dockgate's reading.

`explained.yaml` lists the known classes with their reasons.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from tests.fuzz.layers.dockgate_reading import Evidence, ImageReading, LayerReading
from tests.fuzz.layers.runtimes import File, Tree

_HOPS = 40


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference; `kind` is its class.

    The classes missing, content, target, evidence and honest are failures, unless they are explained.
    """

    kind: str
    runtime: str
    path: str
    detail: str = ""


@cache
def read_explanations() -> Mapping[str, str]:
    """Return the reason why each explained class does not matter."""
    text = (Path(__file__).parent / "explained.yaml").read_text()
    return {str(kind): str(reason) for kind, reason in yaml.safe_load(text).items()}


def list_differences(
    layers: Sequence[LayerReading],
    reading: ImageReading,
    trees: Sequence[Tree],
    packages_in: Callable[[Sequence[File]], frozenset[Evidence]],
) -> Iterator[Difference]:
    """Return what a runtime has and Dockgate does not.

    Nothing if Dockgate reported unread parts, or if the runtime refused the image.
    """
    if reading.unread:
        return
    by_files: dict[tuple[File, ...], frozenset[Evidence]] = {}
    for tree in trees:
        if tree.failure:
            continue
        differ = list(_compare_files(layers, reading, tree))
        yield from differ
        if differ or reading.links:
            if tree.files not in by_files:
                by_files[tree.files] = packages_in(tree.files)
            yield from _compare_evidence(reading, tree, by_files[tree.files])


def _compare_files(layers: Sequence[LayerReading], reading: ImageReading, tree: Tree) -> Iterator[Difference]:
    linked_paths: frozenset[str] | None = None
    for file in tree.files:
        path = file.path.decode("utf-8", "surrogateescape")
        if path not in reading.files:
            if linked_paths is None:
                linked_paths = _list_led_paths(layers, reading)
            kind = "device" if file.kind in "cbps" else "through-a-link" if path in linked_paths else "missing"
            yield Difference(kind, tree.runtime, path)
            continue
        dockgate_data = reading.files[path]
        if dockgate_data is None or file.kind not in "fFl":
            continue
        runtime_data = file.data
        if file.kind == "F":
            dockgate_data = hashlib.sha256(dockgate_data).digest()
        if dockgate_data != runtime_data:
            if linked_paths is None:
                linked_paths = _list_led_paths(layers, reading)
            kind = "target" if file.kind == "l" else "content-through-a-link" if path in linked_paths else "content"
            yield Difference(kind, tree.runtime, path, f"{runtime_data[:60]!r}, we read {dockgate_data[:60]!r}")


def count_extras(reading: ImageReading, trees: Sequence[Tree]) -> int:
    """Count the paths that only Dockgate sees; each costs a false alarm at most."""
    complete_trees = [tree for tree in trees if not tree.failure]
    if reading.unread or not complete_trees:
        return 0
    runtime_paths = {file.path.decode("utf-8", "surrogateescape") for tree in complete_trees for file in tree.files}
    return len(reading.files.keys() - runtime_paths)


def _list_led_paths(layers: Sequence[LayerReading], reading: ImageReading) -> frozenset[str]:
    """Return the paths of Dockgate's files through any present or former links."""
    links = {path: target for layer in layers for path, target in layer.links.items()}
    return frozenset(target for path in reading.files if (target := _follow_links(path, links)) != path)


def _follow_links(path: str, links: Mapping[str, str]) -> str:
    resolved_path, remaining_path, hops = "", path, 0
    while remaining_path:
        name, _, remaining_path = remaining_path.partition("/")
        resolved_path = f"{resolved_path}/{name}" if resolved_path else name
        if remaining_path and resolved_path in links:
            hops += 1
            if hops > _HOPS:
                return path
            resolved_path, remaining_path = (
                "",
                f"{links[resolved_path]}/{remaining_path}" if links[resolved_path] else remaining_path,
            )
    return resolved_path


def _compare_evidence(reading: ImageReading, tree: Tree, runtime_evidence: frozenset[Evidence]) -> Iterator[Difference]:
    missing_evidence = runtime_evidence - reading.packages
    evidence = {entry[:3] for entry in reading.packages}
    evidence |= {("", *entry[1:]) for entry in evidence}  # of no distribution: the tree has lost its os-release
    for ecosystem, name, version, path in sorted(missing_evidence):
        kind = "evidence-elsewhere" if (ecosystem, name, version) in evidence else "evidence"
        yield Difference(kind, tree.runtime, path, f"{ecosystem} {name} {version}")
