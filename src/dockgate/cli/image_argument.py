"""The argument IMAGE and the options that say how to read it."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dockgate.cli.options import ca_bundle_option, insecure_option, show_progress
from dockgate.config import Settings

if TYPE_CHECKING:
    from dockgate.services.images.image_inventory import ScannedImage

FORMS = """

\b
IMAGE is one of
  name:tag, name@sha256:...    in a registry
  podman:NAME, docker:NAME     in the storage of podman or docker
  oci:FOLDER[:TAG], oci-archive:FILE, docker-archive:FILE, or only the path
  -                            an archive on standard input
  dir:FOLDER                   the root folder of a file system
  sbom:FILE, FILE.json         a CycloneDX or SPDX document
"""

PLATFORM_HELP = "The platform of an index, or all.  [default: this machine's]"


class ImageArgument(NamedTuple):
    """An image reference and how to read it."""

    reference: str
    platform: str
    is_insecure: bool
    ca_bundle: Path | None

    def scan(self, settings: Settings, *, should_hash: bool = False, is_quiet: bool = False) -> "ScannedImage":
        """Scan the image, with progress on a terminal. Raises the errors of `image_inventory.scan`."""
        from dockgate.scanner.images import open_images
        from dockgate.services.images import image_inventory

        with show_progress(is_quiet=is_quiet) as show:
            return image_inventory.scan(
                self.reference,
                settings,
                open_images,
                platform=self.platform,
                is_insecure=self.is_insecure,
                ca_bundle=self.ca_bundle,
                report=show,
                should_hash=should_hash,
            )


def add_image_argument(
    platform: str | None = None,
    help: str = PLATFORM_HELP,  # noqa: A002
    is_required: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add IMAGE and its options, passed to the command as `argument`.

    Unless `is_required`, IMAGE may be left out: its reference is empty then.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(
            *args: Any, image: str | None, platform: str, insecure: bool, ca_bundle: Path | None, **command_options: Any
        ) -> None:
            function(*args, argument=ImageArgument(image or "", platform, insecure, ca_bundle), **command_options)

        command.__doc__ = (function.__doc__ or "").rstrip() + FORMS
        options = (
            ca_bundle_option,
            insecure_option,
            click.option("--platform", default=platform, show_default=bool(platform), metavar="OS/ARCH|all", help=help),
            click.argument("image", metavar="IMAGE" if is_required else "[IMAGE]", required=is_required),
        )
        command_with_options: Callable[..., None] = command
        for option in options:
            command_with_options = option(command_with_options)
        return command_with_options

    return decorate
