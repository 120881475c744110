"""The image that a command is about, and everything that says how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dockgate.cli.options import progress
from dockgate.config import Settings

if TYPE_CHECKING:
    from dockgate.services.scan import ScannedImage

FORMS = """

\b
IMAGE is one of
  name:tag, name@sha256:...    in a registry
  podman:NAME, docker:NAME     in an engine's store
  oci:FOLDER[:TAG], oci-archive:FILE, docker-archive:FILE, or the path alone
  -                            an archive on standard input
  dir:FOLDER                   the root folder of a system
  sbom:FILE, FILE.json         a CycloneDX or SPDX document
"""

THIS_MACHINES = "Which platform of an index, or all of them.  [default: this machine's]"


@dataclass(frozen=True, slots=True)
class Asked:
    """An image, and how it is to be read."""

    reference: str
    platform: str
    insecure: bool
    ca_bundle: Path | None

    def scan(self, settings: Settings, *, verified: bool = False, is_quiet: bool = False) -> "ScannedImage":
        """Reads it, with its progress on a terminal. `verified`, and what is raised: see `bootstrap.scan.scan`."""
        from dockgate.services import scan

        with progress(is_quiet=is_quiet) as show:
            return scan.scan(
                self.reference,
                settings,
                platform=self.platform,
                insecure=self.insecure,
                ca_bundle=self.ca_bundle,
                report=show,
                verified=verified,
            )


def image(
    platform: str = "",
    help: str = THIS_MACHINES,  # noqa: A002
    required: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The argument IMAGE and its options, handed to the command as `asked`. `platform` is the default. Where IMAGE is
    not `required` and not given, the reference is ""."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(
            *args: Any, image: str | None, platform: str, insecure: bool, ca_bundle: Path | None, **others: Any
        ) -> None:
            function(*args, asked=Asked(image or "", platform, insecure, ca_bundle), **others)

        command.__doc__ = (function.__doc__ or "").rstrip() + FORMS
        options = (
            click.option(
                "--ca-bundle",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="PEM file of the authorities to trust for the registry.  [default: DOCKGATE_CA_BUNDLE]",
            ),
            click.option("--insecure", is_flag=True, help="Let a registry on another machine speak plain HTTP."),
            click.option("--platform", default=platform, show_default=bool(platform), metavar="OS/ARCH|all", help=help),
            click.argument("image", metavar="IMAGE" if required else "[IMAGE]", required=required),
        )
        decorated: Callable[..., None] = command
        for option in options:
            decorated = option(decorated)
        return decorated

    return decorate
