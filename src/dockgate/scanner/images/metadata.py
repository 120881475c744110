"""Read an image's base image, creation time and user from its annotations and config.

Annotations: OCI image spec 1.1, "Pre-Defined Annotation Keys". The histories of buildah and podman, of BuildKit
and of Docker's classic builder are described at `count_base_layers`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from dockgate.scanner.manifest import Descriptor, Index, Manifest, parse_manifest
from dockgate.scanner.model import LayerBuildInfo
from dockgate.scanner.ports import ImageMetadata
from dockgate.shared.errors import DockgateError

# Name of a base image (None if unknown), digest of a manifest -> the verified manifest. Raises DockgateError if it is
# unavailable.
Fetch = Callable[[str | None, str], bytes]

_NAME = "org.opencontainers.image.base.name"
_DIGEST = "org.opencontainers.image.base.digest"
# Entries; images have tens, and at most as many layers as `manifest.LAYER_LIMIT`.
_HISTORY_LIMIT = 4096
# Characters of a base image's name and of a user.
_LONGEST = 512
_STARTS = ("CMD", "ENTRYPOINT")
# Characters of a command, and of all commands of an image.
_LONGEST_COMMAND, _MOST_COMMANDS = 400, 40_000
# What classic builders and buildah write before a command that was run with build arguments: their number and values.
_ARGUMENTS = re.compile(r"(?P<run>RUN )?\|\d{1,4} ")
_SHELL = "/bin/sh -c "


def read_metadata(
    config: Mapping[str, Any],
    annotations: Sequence[Mapping[str, str]],
    layers: Sequence[Descriptor],
    platform: str,
    fetch: Fetch,
) -> ImageMetadata:
    """Read the metadata of an image with this config and these layers. Values of a wrong type are ignored.

    `annotations` are the manifest's, then those of the index. The config's labels come last, for images inherit them
    from their base. Layers are counted by the base's own manifest, where `fetch` has it, else by the history.
    """
    run_config = config.get("config")
    run_config = run_config if isinstance(run_config, dict) else {}
    labels = run_config.get("Labels")
    base_layer_count, base_name = count_base_layers(config.get("history"), len(layers))
    sources = [*annotations, {_NAME: base_name} if base_name else {}, labels if isinstance(labels, dict) else {}]
    annotation_source = next((source for source in sources if _NAME in source or _DIGEST in source), {})
    name, digest = _read_text(annotation_source.get(_NAME)) or None, _read_text(annotation_source.get(_DIGEST))
    if annotation_source and not name and not digest:  # so builders say that it was made from nothing
        base_layer_count = 0
    elif digest:
        with suppress(DockgateError):
            base_digests = _fetch_layers(name, digest, platform, fetch)
            if (
                base_digests
                and len(base_digests) < len(layers)
                and [layer.digest for layer in layers[: len(base_digests)]] == base_digests
            ):
                base_layer_count = len(base_digests)
    created_at = _read_text(config.get("created"))
    stamp = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", created_at, re.ASCII)
    commands = read_commands(config.get("history"), len(layers))
    origins = tuple(LayerBuildInfo(layer.size, text) for layer, text in zip(layers, commands, strict=True))
    return ImageMetadata(
        base_layer_count,
        name or digest or None,
        created_at if stamp else None,
        _read_text(run_config.get("User")) or None,
        origins,
    )


class _HistoryEntry(NamedTuple):
    """One entry of a history. `is_empty`: it has no layer. `comment` shows the builder."""

    is_empty: bool
    command: str
    comment: str

    @property
    def is_buildkit(self) -> bool:
        return self.comment.startswith("buildkit.")

    @property
    def base(self) -> str | None:
        """The name of the base image in the first entry of a buildah or podman stage, else None."""
        return self.comment.removeprefix("FROM ") if self.comment.startswith("FROM ") else None

    @property
    def is_start_command(self) -> bool:
        """Return whether it is a CMD or ENTRYPOINT. All builders except BuildKit write "#(nop)" before it."""
        words = self.command.rpartition("#(nop)")[2].split(maxsplit=1)
        return self.is_empty and words[:1] in ([command] for command in _STARTS)


def count_base_layers(history: object, layer_count: int) -> tuple[int, str | None]:
    """Count the layers of the base image by the history.

    Returns the count and the base's name, 0 and None if unknown. If the history attributes all layers to the base, the
    count is 0: otherwise a forged history could attribute every layer to the base image.

    The entries of the base come first, followed by those of the image. The image's entries begin
    - at the comment "FROM NAME", by which buildah and podman mark the first entry of a build;
    - where the builder changes: BuildKit marks all of its entries;
    - after CMD or ENTRYPOINT, which is the last step of most builds. This is only a convention, and counts only
      without the other marks.
    """
    steps = _parse_history(history)
    if sum(not step.is_empty for step in steps) != layer_count:
        return 0, None
    indexes = range(1, len(steps))
    builder_change = max((at for at in indexes if steps[at].is_buildkit != steps[at - 1].is_buildkit), default=0)
    marked_step = max((at for at in range(len(steps)) if steps[at].base), default=-1)
    if marked_step >= builder_change:
        base_layer_count = _count_layers_below(steps, marked_step)
        return (base_layer_count if base_layer_count < layer_count else 0), _read_text(steps[marked_step].base) or None
    last = max((at for at, step in enumerate(steps) if not step.is_empty), default=0)
    start_command = max((at for at in indexes if steps[at].is_start_command and at < last), default=0)
    base_layer_count = _count_layers_below(steps, max(start_command, builder_change))
    return (base_layer_count if base_layer_count < layer_count else 0), None


def read_commands(history: object, layer_count: int) -> list[str | None]:
    """The command that made each layer, base first; each is None if the history does not fit the layers.

    One that the history does not have, and those after very many, are None, too.

    Values of build arguments are left out: they may be secrets. Long commands are cut.
    """
    commands = [step.command for step in _parse_history(history) if not step.is_empty]
    if len(commands) != layer_count:
        return [None] * layer_count
    shown_commands: list[str | None] = []
    room = _MOST_COMMANDS
    for command in commands:
        text = _drop_arguments(command.encode("utf-8", "backslashreplace").decode().strip())
        text = text if len(text) <= _LONGEST_COMMAND else f"{text[: _LONGEST_COMMAND - 1]}…"
        room -= len(text)
        shown_commands.append((text or None) if room >= 0 else None)
    return shown_commands


def _drop_arguments(command: str) -> str:
    """Return a RUN command without its build arguments: "|1 A=… /bin/sh -c make" gives "/bin/sh -c make"."""
    match = _ARGUMENTS.match(command)
    if match is None:
        return command
    _, shell, shell_command = command.partition(_SHELL)
    return f"{match['run'] or ''}{shell}{shell_command}" if shell else "a command with build arguments"


def _count_layers_below(steps: Sequence[_HistoryEntry], end: int) -> int:
    return sum(not step.is_empty for step in steps[:end])


def _parse_history(history: object) -> list[_HistoryEntry]:
    """Parse the history; no entries if any is invalid."""
    if not isinstance(history, list) or len(history) > _HISTORY_LIMIT:
        return []
    steps: list[_HistoryEntry] = []
    for entry in history:
        fields = entry if isinstance(entry, dict) else {"empty_layer": None}
        empty = fields.get("empty_layer", False)
        command, comment = fields.get("created_by", ""), fields.get("comment", "")
        if not isinstance(empty, bool) or not isinstance(command, str) or not isinstance(comment, str):
            return []
        steps.append(_HistoryEntry(empty, command, comment))
    return steps


def _fetch_layers(name: str | None, digest: str, platform: str, fetch: Fetch) -> list[str]:
    """Return the layers of the base image for the platform; none if it has none. Raises DockgateError."""
    document = parse_manifest(fetch(name, digest), digest)
    if isinstance(document, Index):
        child = next((entry.digest for entry in document.manifests if entry.platform == platform), "")
        document = parse_manifest(fetch(name, child), child) if child else document
    return [layer.digest for layer in document.layers] if isinstance(document, Manifest) else []


def _read_text(value: object) -> str:
    """Return a short printable text, an empty one for other values."""
    fine = isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()
    return str(value).strip() if fine else ""
