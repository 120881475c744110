"""`dockgate waiver`: accept findings until a date or until a fix exists."""

from datetime import UTC
from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.listing_output import (
    format_option,
    make_sort_option,
    print_answer,
    print_fields,
    print_json,
    print_list,
    select_filters,
    style_state,
)
from dockgate.gate.model import Waiver
from dockgate.shared.timestamps import parse_time

STATES = ("Active", "Expired", "Revoked")


@click.group()
def command() -> None:
    """Manage waivers, which accept findings.

    A waiver expires on a date or when a fix exists. Waived findings stay visible in every report.
    """


@command.command()
@click.option("--vulnerability", metavar="ID", help="A vulnerability, by any of its ids: CVE-2024-1, GHSA-….")
@click.option("--package", metavar="PURL", help="A pattern of package URLs: pkg:npm/lodash, 'pkg:npm/*@1.*'.")
@click.option("--repository", metavar="PATTERN", help="Only in these repositories: 'team-*/app'.")
@click.option("--image", metavar="IMAGE", help="Only in this image, or in all platforms of this index.")
@click.option("--rule", metavar="NAME", help="Accept violations of this rule without findings; needs --image.")
@click.option(
    "--violation", metavar="TEXT", help="Accept only this violation of --rule, with the exact text of the verdict."
)
@click.option(
    "--unread",
    metavar="PATH|PURL",
    help="Accept what could not be read: a path in the image, or a package. A pattern needs --image.",
)
@click.option("--until", metavar="DATE", help="The waiver expires on this date (00:00 UTC) or time: 2026-12-31.")
@click.option("--until-fixed", is_flag=True, help="The waiver expires as soon as a fixed version exists.")
@click.option("--owner", required=True, help="The responsible person.")
@click.option("--reason", required=True, help="The reason, for the record.")
@click.option("--key", help="An idempotency key: repeated calls create one waiver.")
@format_option
def add(output_format: str, key: str | None, **fields: Any) -> None:
    """Accept findings, or what could not be read.

    Name a vulnerability, a package or an image, or use --unread; and add --until or --until-fixed. Known malicious
    packages, and images that could not be read at all, cannot be accepted.
    """
    headers = {"Idempotency-Key": key} if key else None
    answer = Client().post("waivers", body=fields, headers=headers)
    subject = _format_subject(parse_answer(Waiver, answer["waiver"]))
    print_answer(
        answer,
        output_format,
        f"{answer['waiver']['id']}: {subject}, {_format_end(answer['waiver'])}",
    )


@command.command("list")
@click.option(
    "--state", "state_filter", type=click.Choice(STATES, case_sensitive=False), help="List only waivers in this state."
)
@click.option("--owner", help="List only waivers of this owner.")
@click.option("--ending", is_flag=True, help="List only waivers that end within 7 days.")
@make_sort_option("-created", "created", "end", "-end")
@format_option
def list_waivers(state_filter: str | None, owner: str | None, ending: bool, sort: str, output_format: str) -> None:
    """List waivers, with expired and revoked ones."""
    filters = select_filters(state=state_filter, owner=owner, ending=ending or None)
    answer = Client().get_all("waivers", sort=sort, **filters)
    rows = (
        (
            style_state(entry["state"]),
            entry["waiver"]["id"],
            _format_subject(parse_answer(Waiver, entry["waiver"])),
            _format_end(entry["waiver"]),
            entry["waiver"]["owner"],
        )
        for entry in answer
    )
    print_list(answer, output_format, ("STATE", "WAIVER", "ACCEPTS", "EXPIRES", "OWNER"), rows, "No visible waivers.")


@command.command()
@click.argument("waiver_id", metavar="ID")
@format_option
def show(waiver_id: str, output_format: str) -> None:
    """Show a waiver and its state."""
    _show_waiver(Client().get("waivers", waiver_id), output_format)


@command.command()
@click.argument("waiver_id", metavar="ID")
@format_option
def revoke(waiver_id: str, output_format: str) -> None:
    """Revoke a waiver.

    It stays on record.
    """
    _show_waiver(Client().post("waivers", waiver_id, "revoke"), output_format)


def _show_waiver(answer: Any, output_format: str) -> None:
    if output_format == "json":
        print_json(answer)
        return
    waiver = parse_answer(Waiver, answer["waiver"])
    names = ("vulnerability", "package", "repository", "image", "rule", "violation", "unread")
    revocation = f"{times.format_time(answer['revoked_at'])} by {answer['revoked_by']}"
    print_fields(
        waiver.id,
        [
            ("state", style_state(answer["state"])),
            *((name, getattr(waiver, name)) for name in names),
            ("until", times.format_time(waiver.until) if waiver.until else ""),
            ("until fixed", "yes" if waiver.until_fixed else ""),
            ("owner", waiver.owner),
            ("reason", waiver.reason),
            ("created", f"{times.format_time(waiver.created_at)} by {waiver.created_by}"),
            ("expiry announced", times.format_time(answer["announced_at"]) if answer["announced_at"] else ""),
            ("revoked", revocation if answer["revoked_at"] else ""),
        ],
    )


def _format_subject(waiver: Waiver) -> str:
    violation = f"({waiver.violation[:60]}{'…' if len(waiver.violation) > 60 else ''})" if waiver.violation else ""
    unread_path = f"unread {waiver.unread}" if waiver.unread else ""
    image = waiver.image[:19] if waiver.image else None
    parts = (waiver.vulnerability, waiver.package, waiver.rule, violation, unread_path, waiver.repository, image)
    return " ".join(filter(None, parts))


def _format_end(waiver: Any) -> str:
    end_text = ""
    if end := parse_time(waiver["until"]):
        # A date ends with its first moment.
        end_text = f"until {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC".removesuffix(" 00:00 UTC")
    return " or ".join(filter(None, (end_text, "until fixed" if waiver["until_fixed"] else "")))
