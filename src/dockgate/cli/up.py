"""`dockgate up`: start the server on this machine."""

import os
import sys
from collections.abc import Iterator
from functools import partial

import click

from dockgate.cli.output import print_text
from dockgate.config import Settings, from_environment
from dockgate.identity.model import FIRST_ADMIN_LINK_MINUTES


@click.command()
@click.option("--detach", is_flag=True, help="Start in the background, and return when the server is ready.")
@click.option("--host", help="The address to listen on.  [default: DOCKGATE_HOST]")
@click.option("--port", type=click.IntRange(1, 65535), help="The server's port.  [default: DOCKGATE_PORT]")
@click.option(
    "--registry-port", type=click.IntRange(1, 65535), help="The registry's port.  [default: DOCKGATE_REGISTRY_PORT]"
)
@click.option("--link-descriptor", type=int, hidden=True, help="The file descriptor to which the link is written.")
def command(
    detach: bool, host: str | None, port: int | None, registry_port: int | None, link_descriptor: int | None
) -> None:
    """Start the server on this machine.

    The server includes a git host and a registry, and starts podman's service. Run it as root: builds need that. It
    listens on loopback; another address needs a principal and TLS. All data is in DOCKGATE_DATA.

    Without --detach the server runs until it is interrupted. While there is no principal, the command prints a link
    for the first administrator, to a terminal or with --detach.
    """
    settings = from_environment()
    settings = settings._replace(
        host=host or settings.host,
        port=port or settings.port,
        registry_port=registry_port or settings.registry_port,
    )
    if detach:
        _start_in_background(settings)
    else:
        from dockgate.bootstrap import serve

        serve.run(settings, on_ready=partial(_announce_link, settings, link_descriptor))


def _start_in_background(settings: Settings) -> None:
    from dockgate.server import daemon
    from dockgate.server.bind_config import read_listen_address
    from dockgate.shared.addresses import make_console_url

    link = daemon.start(settings)
    url = read_listen_address(settings).url
    print_text(f"Dockgate runs at {make_console_url(url)}")
    _print_link(link)
    for line in list_next_steps(settings, url, is_root=os.geteuid() == 0):
        print_text(f"  {line}")


def list_next_steps(settings: Settings, url: str, *, is_root: bool) -> Iterator[str]:
    """The lines that follow the start of a server at `url`.

    They say what needs attention, then with which commands to go on.
    """
    if url != settings.server:
        yield f"To call this server: export DOCKGATE_SERVER={url}"
    if not is_root and not settings.can_build_unsafely:
        yield "This server builds no images. Builds need root: run `dockgate up` as root."
    if not settings.advisories.exists():
        if settings.updates.mode == "off":
            yield "dockgate db update       downloads the advisories"
        else:
            yield "The server downloads the advisories now. `dockgate status` shows when they are complete."
    yield "dockgate apply FILE...   creates repositories, pipelines and services"
    yield "dockgate status          shows an overview of the server"
    yield "dockgate down            stops it"


def _announce_link(settings: Settings, descriptor: int | None) -> None:
    """Write a link for the first administrator to the descriptor, or print it to a terminal.

    It is a secret: it goes into no file. If the server has a principal, the descriptor gets a blank line.
    """
    if descriptor:
        with os.fdopen(descriptor, "w") as pipe:
            pipe.write(f"{_make_link(settings) or ''}\n")
    elif sys.stdout.isatty():
        _print_link(_make_link(settings))


def _make_link(settings: Settings) -> str | None:
    from dockgate.server.bind_config import read_listen_address
    from dockgate.services.identity.first_admin import make_link
    from dockgate.shared.addresses import make_console_url

    return make_link(settings, make_console_url(read_listen_address(settings).url))


def _print_link(link: str | None) -> None:
    if link:
        minutes = FIRST_ADMIN_LINK_MINUTES
        print_text(f"  {link}")
        print_text(f"  Open this link within {minutes} minutes to become the administrator. It works once.")
