"""`dockgate waiver`: findings accepted until a date or until a fix exists."""

from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client, understand
from dockgate.cli.digests import image_digest
from dockgate.cli.listing import as_json, form, now, pairs, state, table
from dockgate.cli.output import echo
from dockgate.gate.model import Waiver

STATES = ("Standing", "Lapsed", "Revoked")


@click.group()
def command() -> None:
    """Waivers: findings that are accepted until a date or until a fix exists. They hide nothing."""


@command.command()
@click.option("--vulnerability", default="", metavar="ID", help="By any of its names: CVE-2024-1, GHSA-….")
@click.option("--package", default="", metavar="PURL", help="A pattern of packages: pkg:npm/lodash, 'pkg:npm/*@1.*'.")
@click.option("--repository", default="", metavar="PATTERN", help="Of images in these repositories: 'team-*/app'.")
@click.option("--image", default="", metavar="DIGEST", help="Of this image, or of an index and all its platforms.")
@click.option("--rule", default="", metavar="NAME", help="What breaks this rule without findings, of one --image.")
@click.option(
    "--violation", default="", metavar="TEXT", help="Of that rule this violation alone, in the verdict's words."
)
@click.option(
    "--unread",
    default="",
    metavar="PATH|PURL",
    help="What could not be read: a path in the image, or a package that cannot be judged. A pattern needs --image.",
)
@click.option(
    "--until", default="", metavar="DATE", help="It lapses then: 2026-12-31 (its first instant, UTC), or a time."
)
@click.option("--until-fixed", is_flag=True, help="It lapses as soon as a fixed version exists.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--reason", required=True, help="Why, for those who read it later.")
@click.option("--key", default="", help="Makes the call once, however often it is sent.")
@form
def add(form: str, key: str, **fields: Any) -> None:
    """Accept findings, or what could not be read.

    Name a vulnerability, a package or an image; or with --unread a path or package of which nothing is known; and an
    end. A known malicious package is never accepted, nor is an image of which nothing could be read.
    """
    headers = {"Idempotency-Key": key} if key else None
    client = Client()
    if fields["image"]:
        fields["image"] = image_digest(client, fields["image"])
    answer = client.post("waivers", body=fields, headers=headers)
    if form == "json":
        as_json(answer)
    else:
        echo(f"{answer['waiver']['id']}: {_what(understand(Waiver, answer['waiver']))}, {_end(answer['waiver'])}")


@command.command("list")
@click.option("--state", "wanted", type=click.Choice(STATES, case_sensitive=False), help="Only these.")
@form
def list_waivers(wanted: str | None, form: str) -> None:
    """Every waiver, the newest first, those too that lapsed or were revoked."""
    answer = Client().get("waivers", **({"state": wanted} if wanted else {}))
    if form == "json":
        as_json(answer)
        return
    rows = [
        (
            state(entry["state"]),
            entry["waiver"]["id"],
            _what(understand(Waiver, entry["waiver"])),
            _end(entry["waiver"]),
            entry["waiver"]["owner"],
        )
        for entry in answer
    ]
    table(("STATE", "WAIVER", "ACCEPTS", "END", "OWNER"), rows, "No waivers.")


@command.command()
@click.argument("waiver_id", metavar="ID")
@form
def show(waiver_id: str, form: str) -> None:
    """One waiver, and what became of it."""
    _show(Client().get("waivers", waiver_id), form)


@command.command()
@click.argument("waiver_id", metavar="ID")
@form
def revoke(waiver_id: str, form: str) -> None:
    """End a waiver now. It stays on record."""
    _show(Client().post("waivers", waiver_id, "revoke"), form)


def _show(answer: Any, form: str) -> None:
    if form == "json":
        as_json(answer)
        return
    waiver = understand(Waiver, answer["waiver"])
    moment = now()
    pairs(
        waiver.id,
        [
            ("state", state(answer["state"])),
            ("vulnerability", waiver.vulnerability),
            ("package", waiver.package),
            ("repository", waiver.repository),
            ("image", waiver.image),
            ("rule", waiver.rule),
            ("violation", waiver.violation),
            ("unread", waiver.unread),
            ("until", times.at(waiver.until, moment) if waiver.until else ""),
            ("until fixed", "yes" if waiver.until_fixed else ""),
            ("owner", waiver.owner),
            ("reason", waiver.reason),
            ("made", f"{times.at(waiver.created_at, moment)} by {waiver.created_by}"),
            ("announced", times.at(answer["announced_at"], moment) if answer["announced_at"] else ""),
            (
                "revoked",
                f"{times.at(answer['revoked_at'], moment)} by {answer['revoked_by']}" if answer["revoked_at"] else "",
            ),
        ],
    )


def _what(waiver: Waiver) -> str:
    violation = f"({waiver.violation[:60]}{'…' if len(waiver.violation) > 60 else ''})" if waiver.violation else ""
    unread = f"unread {waiver.unread}" if waiver.unread else ""
    named = (waiver.vulnerability, waiver.package, waiver.rule, violation, unread, waiver.repository, waiver.image[:19])
    return " ".join(filter(None, named))


def _end(waiver: Any) -> str:
    until = f"until {waiver['until'][:10]}" if waiver["until"] else ""
    return " or ".join(filter(None, (until, "until fixed" if waiver["until_fixed"] else "")))
