"""Reading images: from a registry, an OCI layout folder or an archive, entry by entry, trusting nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from dockgate.core.ports import Image


@dataclass(frozen=True, slots=True)
class Opened:
    """What a reference names. `digest` is of the manifest or index itself, `images` are of the platforms asked for.

    Layers can be read until it is closed, several at once in different threads.
    """

    digest: str
    images: Sequence[Image]
    close: Callable[[], None]

    def __enter__(self) -> "Opened":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_images(
    reference: str,
    platforms: Sequence[str] | None = None,
    *,
    ca_bundle: Path | None = None,
    insecure: bool = False,
) -> Opened:
    """Opens what `reference` names: a name in a registry, oci:FOLDER, oci-archive:FILE, docker-archive:FILE, or a path.

    `platforms`: None for this machine's where there is a choice, ["all"], or "os/arch[/variant]" each. `ca_bundle`
    holds authorities (PEM) trusted besides the system's; `insecure` lets a registry elsewhere speak plain HTTP.

    Raises UsageError for a reference that cannot be; NotFoundError for an image, tag or platform that does not exist;
    DeniedError, UnavailableError from registries; ImageError for what is broken.
    """
    from dockgate.images.image import read_images
    from dockgate.images.reference import Remote, parse

    named = parse(reference)
    if isinstance(named, Remote):
        from dockgate.images.registry import registry_origin

        origin = registry_origin(named, ca_bundle=ca_bundle, insecure=insecure)
    elif named.path.is_dir():
        from dockgate.images.layout import Folder, LayoutOrigin

        origin = LayoutOrigin(Folder(named.path), named)
    else:
        from dockgate.images.archive import archive_origin

        origin = archive_origin(named)
    try:
        digest, data = origin.root()
        return Opened(digest, read_images(origin, digest, data, platforms), origin.close)
    except BaseException:
        origin.close()
        raise
