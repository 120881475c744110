"""`dockgate attestation`: what approvals left beside their images, and the keys that signed it."""

from pathlib import Path

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digests import image_digest
from dockgate.cli.listing import as_json, form, now, table
from dockgate.cli.output import echo
from dockgate.config import from_environment


@click.group()
def command() -> None:
    """Signed statements of approvals, beside the images in their registries."""


@command.command()
@click.option("--all", "every", is_flag=True, help="The keys before the present one, too.")
@form
def key(every: bool, form: str) -> None:
    """Print the server's public key, in PEM: what `cosign verify-attestation --key` wants."""
    keys = Client().get("attestation-keys")["keys"]
    shown = keys if every else keys[:1]
    if form == "json":
        as_json(shown)
        return
    for entry in shown:
        echo(entry["pem"], nl=False)


@command.command()
def rotate() -> None:
    """Sign with a new key from now on, and print its public half.

    The old key can sign no more. What it signed stands, for whoever goes on trusting its public half.
    """
    echo(Client().post("attestation-keys")["keys"][0]["pem"], nl=False)


@command.command()
@click.argument("digest")
@form
def show(digest: str, form: str) -> None:
    """Say what became of the attestations of the image DIGEST."""
    client = Client()
    documents = client.get("images", image_digest(client, digest), "attestations")
    if form == "json":
        as_json(documents)
        return
    moment = now()
    rows = [
        (
            times.short(document["attested_at"], moment) if document["attested_at"] else f"failed: {document['error']}",
            document["repository"],
            document["verdict"],
        )
        for document in documents
    ]
    table(("ATTESTED", "REPOSITORY", "VERDICT"), rows, "Nothing was attested of it.")


@command.command()
@click.argument("image")
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The public key to trust: what `dockgate attestation key` prints.",
)
@click.option(
    "--policy",
    required=True,
    metavar="NAME",
    help="The policy that must have approved it, alone or with what the repository asks on top.",
)
@click.option("--insecure", is_flag=True, help="Let a registry on another machine speak plain HTTP.")
@click.option(
    "--ca-bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the authorities to trust for the registry.  [default: DOCKGATE_CA_BUNDLE]",
)
@click.pass_context
def verify(context: click.Context, image: str, key: Path, policy: str, insecure: bool, ca_bundle: Path | None) -> None:
    """Say whether IMAGE bears an approval by the policy that is signed, of this very digest, and has not expired.

    No server is asked. Exits 0 when it does, 1 when it bears none or none that it bears holds, 2 on a fault.
    """
    from dockgate.services import attestations
    from dockgate.services.reports import clean

    bundle = ca_bundle or from_environment().ca_bundle
    digest, found = attestations.verify(image, key, policy, ca_bundle=bundle, insecure=insecure)
    claims = [entry.claim for entry in found if entry.claim]
    echo(digest)
    for claim in claims:
        echo(
            clean(
                f"  approved by policy {claim.policy}, judged at {claim.judged_at}, until {claim.expires_at}; "
                f"evidence: {claim.evidence}; {claim.waived} waived; verdict {claim.verdict}"
            )
        )
    if not claims:
        for entry in found:
            echo(clean(f"  refused: {entry.refused}"))
        if not found:
            echo("  refused: nothing is attested of it; only what the gate approved is")
        context.exit(1)
