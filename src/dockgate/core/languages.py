"""Promise 7 for language packages, whose evidence is a file of each package's own: see `evidence`."""

from collections.abc import Iterator

from dockgate.core.facts import Read, View, unpack
from dockgate.core.model import Unread
from dockgate.core.ports import Ecosystem

_INFO = (".dist-info", ".egg-info", "EGG-INFO")


def doubts(view: View, kind: Ecosystem) -> Iterator[Unread]:
    """Language packages whose own file went, or changed its version, while their other files stayed as they were."""
    history: dict[str, list[tuple[int, Read]]] = {}
    records: dict[str, list[str]] = {}
    for at, facts in enumerate(view.facts):
        for read in facts.reads:
            if read.ecosystem == kind.name:
                history.setdefault(read.path, []).append((at, read))
                for owned in read.owns.values():
                    records.setdefault(read.path.rpartition("/")[0], []).append(owned)
    for path, reads in history.items():
        told = [(at, read) for at, read in reads if read.packages]
        last, newest = reads[-1]
        alive = view.alive(path, last)
        if not told or (alive and newest.unread) or (alive and len(reads) == 1):
            continue
        now = [(one.name, one.version) for one in newest.packages] if alive else []
        before = next(
            (item for item in reversed(told) if [(one.name, one.version) for one in item[1].packages] != now), None
        )
        if before is None:
            continue
        package = before[1].packages[0]
        packed = records.get(path.rpartition("/")[0], [])
        if not packed and package.owner:
            continue  # distributions leave the records away, and have lists of their own
        files = _files(view, path, packed) if packed else _beside(view, path, records)
        origins = {at for file in files for at in view.origins(file)}
        if now and origins and min(origins) <= before[0]:
            reason = f"{path} became {' '.join(now[0])}, yet there are files of {package.name} {package.version}."
            yield Unread(path, reason, view.facts[last].layer)
        elif not now and origins and min(origins) <= before[0]:
            reason = f"{path} no longer tells of {package.name} {package.version}, yet files of it are there."
            yield Unread(path, reason, view.facts[before[0]].layer)

    yield from _nameless(view, kind)


def _nameless(view: View, kind: Ecosystem) -> Iterator[Unread]:
    """Records of files without the file beside them that names their package, in any layer."""
    named = {
        read.path.rpartition("/")[0]
        for facts in view.facts
        for read in facts.reads
        if read.ecosystem == kind.name and (read.packages or read.unread)
    }
    for at, read in view.live:
        folder = read.path.rpartition("/")[0]
        if read.ecosystem == kind.name and read.owns and folder not in named:
            listed = (file for file in _files(view, read.path, list(read.owns.values())) if not file.startswith(folder))
            there = next((file for file in listed if any(True for _ in view.origins(file))), "")
            if there:
                reason = f"{read.path} lists {there}, which is there, yet nothing names the package that it is of."
                yield Unread(read.path, reason, view.facts[at].layer)


def _files(view: View, evidence: str, packed: list[str]) -> Iterator[str]:
    """What a language package owns besides its own evidence, the packages nested in its folder apart."""
    for owned in packed:
        for path in unpack(owned):
            if not path.endswith("/"):
                yield path
                continue
            for file in view.under(path):
                if file != evidence and "/node_modules/" not in file[len(path) - 1 :]:
                    yield file


def _beside(view: View, evidence: str, records: dict[str, list[str]]) -> Iterator[str]:
    """What may belong to a language package without any record: all in its folder that no other package records."""
    own, _, _ = evidence.rpartition("/")
    folder = own.rpartition("/")[0] + "/" if own.endswith(_INFO) else own + "/"
    recorded = {path for packed in records.values() for owned in packed for path in unpack(owned)}
    for file in view.under(folder):
        inner = file[len(folder) :].partition("/")[0]
        if file not in recorded and not inner.endswith(_INFO) and not file.endswith(".pyc"):
            yield file
