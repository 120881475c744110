"""`dockgate attestation`: signed approval statements, and the keys that sign them."""

from functools import partial
from pathlib import Path

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digest_lookup import resolve_image
from dockgate.cli.listing_output import format_option, print_json, print_list
from dockgate.cli.options import FILE, ca_bundle_option, insecure_option
from dockgate.cli.output import print_text
from dockgate.config import from_environment


@click.group()
def command() -> None:
    """Show and verify signed approvals."""


@command.command()
@click.option("--all", "with_former", is_flag=True, help="Print former keys, too.")
@format_option
def key(with_former: bool, output_format: str) -> None:
    """Print the server's public key (PEM).

    `cosign verify-attestation --key` needs it.
    """
    keys = Client().get("attestation-keys")["keys"]
    shown_keys = keys if with_former else keys[:1]
    if output_format == "json":
        print_json(shown_keys)
        return
    for entry in shown_keys:
        print_text(entry["pem"], has_newline=False)


@command.command()
def rotate() -> None:
    """Replace the signing key, and print the new public key.

    The old key can no longer sign. Its signatures stay valid for everyone who still trusts the old public key.
    """
    print_text(Client().post("attestation-keys")["keys"][0]["pem"], has_newline=False)


@command.command()
@click.argument("image")
@format_option
def show(image: str, output_format: str) -> None:
    """List the attestations of IMAGE.

    IMAGE is named as for `dockgate image show`.
    """
    client = Client()
    documents = client.get("images", resolve_image(client, image).digest, "attestations")
    rows = (
        (
            times.format_age(document["attested_at"]) if document["attested_at"] else f"failed: {document['error']}",
            document["repository"],
            document["verdict"],
        )
        for document in documents
    )
    print_list(documents, output_format, ("ATTESTED", "REPOSITORY", "VERDICT"), rows, "The image has no attestations.")


@command.command()
@click.argument("image")
@click.option(
    "--key",
    required=True,
    type=FILE,
    help="The public key to trust: what `dockgate attestation key` prints.",
)
@click.option(
    "--policy",
    required=True,
    metavar="NAME",
    help="The policy that must have approved the image, alone or with the repository's own rules added.",
)
@insecure_option
@ca_bundle_option
@click.pass_context
def verify(context: click.Context, image: str, key: Path, policy: str, insecure: bool, ca_bundle: Path | None) -> None:
    """Verify that IMAGE has a signed, unexpired approval by a policy.

    No server is needed. Exits 0 when such an approval of this digest exists, 1 when not, 2 on an error.
    """
    from dockgate.scanner.images.cosign_attestations import read_image_attestations
    from dockgate.services.verdicts import attestations
    from dockgate.shared.escaping import clean_text

    bundle = ca_bundle or from_environment().ca_bundle
    read_attestations = partial(read_image_attestations, ca_bundle=bundle, is_insecure=insecure)
    digest, signed_approvals = attestations.verify(image, key, policy, read_attestations)
    claims = [entry.claim for entry in signed_approvals if entry.claim]
    print_text(digest)
    for claim in claims:
        print_text(
            clean_text(
                f"  approved by policy {claim.policy}, verdict of {claim.judged_at}, valid until {claim.expires_at}; "
                f"evidence: {claim.evidence}; {claim.waived} waived; verdict digest {claim.verdict}"
            )
        )
    if not claims:
        for entry in signed_approvals:
            print_text(clean_text(f"  refused: {entry.refusal}"))
        if not signed_approvals:
            print_text("  refused: the image has no attestation; only images that the gate approved have one")
        context.exit(1)
