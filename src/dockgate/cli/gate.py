"""`dockgate gate`: the verdict on an image, judged here or by a server."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockgate.cli.images import Asked, image
from dockgate.cli.options import Output, Shown, database, progress, shown, verdict_outputs, write
from dockgate.cli.output import echo
from dockgate.config import Settings, from_environment
from dockgate.delivery.model import ApprovalState
from dockgate.gate.model import ExternalReport, Policy, Status, Waivers
from dockgate.gate.policy import PROVENANCE_RULE
from dockgate.services.reports import GateReport
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from dockgate.gate.provenance import ProvenanceFacts

EXITS = {Status.APPROVED: 0, Status.REJECTED: 1, Status.UNDETERMINED: 3}
# The exits of approvals that a person settled; nobody knows about the rest: 3.
WITHOUT_VERDICT = {ApprovalState.APPROVED: 0, ApprovalState.REJECTED: 1}


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> int:
    from dockgate.cli.waiting import seconds

    try:
        return seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command()
@image(
    platform="all",
    help="Judge one platform of an index alone; the verdict is then on that image, not on the index.",
    required=False,
)
@database
@click.option(
    "--policy",
    metavar="FILE|NAME",
    help="What IMAGE is judged by.  [default: default; with --server the policy of the image's repository]",
)
@click.option("--server", metavar="URL", help="Ask this server's gate; IMAGE is then in a registry that it can read.")
@click.option("--wait", is_flag=True, help="Wait for the server's answer.")
@click.option(
    "--timeout",
    default="1h",
    show_default=True,
    callback=_seconds,
    help="How long to wait, such as 90s, 15m or 1h; the approval expires then.",
)
@click.option("--pipeline", default="gate", show_default=True, help="Which pipeline asks the server.")
@click.option("--stage", default="gate", show_default=True, help="Which of its stages.")
@click.option("--execution", default="", help="Which of its executions: asked again, the same answer.  [default: new]")
@click.option("--service", default="", help="Which of the server's services IMAGE is to run as.")
@click.option(
    "--findings",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What another scanner found: Trivy's or Grype's JSON, SARIF, CycloneDX with vulnerabilities, Inspector's "
    "findings or Inspector2 Scan event. Without IMAGE nothing is scanned; with it both are judged, and the worst "
    "counts. May be given several times.",
)
@click.option(
    "--inspector",
    is_flag=True,
    help="Ask Amazon Inspector what it found in IMAGE, which is in Amazon ECR, instead of scanning it. What Inspector "
    "cannot scan, or has not scanned yet, is undetermined.",
)
@click.option("--digest", default="", metavar="sha256:...", help="The image's digest, for FILEs that do not say it.")
@click.option("--found-at", default="", metavar="TIME", help="When FILE was made (RFC 3339), if it does not say.")
@click.option(
    "--waivers",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Waivers to apply, as YAML. May be given several times.",
)
@click.option(
    "--vex",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A VEX document that you vouch for; the policy has to trust its author. May be given several times.",
)
@click.option(
    "--provenance",
    "statements",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A signed provenance statement (DSSE), besides those that are attached to IMAGE; the policy's rule provenance "
    "says whose count. May be given several times.",
)
@shown
@verdict_outputs
@click.pass_context
def command(
    context: click.Context,
    asked: Asked,
    database: Path | None,
    policy: str | None,
    server: str | None,
    wait: bool,
    timeout: int,
    pipeline: str,
    stage: str,
    execution: str,
    service: str,
    findings: tuple[Path, ...],
    inspector: bool,
    digest: str,
    found_at: str,
    waivers: tuple[Path, ...],
    vex: tuple[Path, ...],
    statements: tuple[Path, ...],
    outputs: tuple[Output, ...],
    shown: Shown,
) -> None:
    """Judge IMAGE by a policy. Exits 0 when it is approved, 1 rejected, 3 undetermined, 2 on a fault.

    The verdict on an index is the worst of its platforms.

    With --server a server judges, and keeps the verdict. Without --wait, one that has no answer yet gives 3. A server
    that is started again meanwhile is asked again.
    """
    if server is not None:
        if findings or not asked.reference:
            raise UsageError(
                "--server asks about an image in a registry.",
                "Hand findings in by `dockgate image report DIGEST FILE`.",
            )

        from dockgate.cli.verdict import whole
        from dockgate.cli.waiting import Asking, ask, require_its_policy, require_remote

        local = {"--database": database is not None, "--insecure": asked.insecure}
        local |= {"--waivers": bool(waivers), "--vex": bool(vex), "--inspector": inspector}
        local |= {"--provenance": bool(statements)}
        require_remote(asked.reference, asked.platform, {**local, "--ca-bundle": asked.ca_bundle is not None})
        require_its_policy(policy or "")
        asking = Asking(
            server, asked.reference, policy or "", pipeline, stage, execution, service, timeout, whole(outputs)
        )
        with progress(is_quiet=shown.is_quiet) as show:
            heard = ask(asking, wait, show)
        if heard.report is not None:
            write(heard.report, outputs, shown)
            status = heard.report.verdict.status
            if heard.state is ApprovalState.APPROVED or status is not Status.APPROVED:
                context.exit(EXITS[status])  # a verdict alone lets nothing pass that was settled otherwise
        echo(f"{heard.approval}: {heard.state}{f', {heard.summary}' if heard.summary else ''}", err=True)
        context.exit(WITHOUT_VERDICT.get(heard.state, EXITS[Status.UNDETERMINED]))
    if wait:
        raise click.UsageError("--wait goes with --server URL")

    from dockgate.services import gate, local_exceptions, scan

    if not (asked.reference or findings or inspector):
        raise UsageError("Neither an image nor findings are given.", "Name an image, or --findings FILE.")
    chosen = gate.policy_of(policy or "default")
    held = local_exceptions.read(waivers, vex)
    settings = from_environment()
    reported = _reported(findings, digest, found_at)
    if inspector:
        report = _inspected(asked, settings, chosen, reported, held)
        write(report, outputs, shown)
        context.exit(EXITS[report.verdict.status])
    if not asked.reference:
        path = database or settings.advisories
        with scan.advisories(path) if path.exists() else nullcontext() as known:
            report = gate.judge_reported(reported, chosen, accepted=held, advisories=known)
        write(report, outputs, shown)
        context.exit(EXITS[report.verdict.status])
    with scan.advisories(database or settings.advisories) as advisories:
        scanned = asked.scan(settings, verified=True, is_quiet=shown.is_quiet)
        found = _provenance(asked, scanned.digest, chosen, statements, settings)
        report = gate.judge(scanned, advisories, chosen, external_reports=reported, accepted=held, provenance=found)
    write(report, outputs, shown)
    context.exit(EXITS[report.verdict.status])


def _provenance(
    asked: Asked, digest: str, policy: Policy, statements: tuple[Path, ...], settings: Settings
) -> "ProvenanceFacts | None":
    """What is known of the image's provenance, None where the policy does not ask for it."""
    if PROVENANCE_RULE not in policy.rules:
        if statements:
            raise UsageError("The policy does not ask for provenance.", "Name the rule provenance in it.")
        return None
    from dockgate.services import provenance_reader

    bundle = asked.ca_bundle or settings.ca_bundle
    return provenance_reader.look_up(
        asked.reference, digest, policy, statements, ca_bundle=bundle, insecure=asked.insecure
    )


def _inspected(
    asked: Asked, settings: Settings, policy: Policy, reported: tuple[ExternalReport, ...], held: Waivers
) -> GateReport:
    from dockgate.services import gate, inspector

    if not asked.reference or asked.platform != "all":
        raise UsageError("--inspector asks about a whole image, by its name.", "Name IMAGE, without --platform.")
    digest, found = inspector.look_up(asked.reference, asked.ca_bundle or settings.ca_bundle)
    known = {digest, *(entry.inventory.image for entry in found)}
    for entry in reported:
        if entry.inventory.image not in known:
            raise UsageError(
                f"{entry.source} reports of {entry.inventory.image}, which is not {asked.reference}.",
                f"The image is {digest}: was another scanned?",
            )
    return gate.judge_reported((*found, *reported), policy, accepted=held, reference=asked.reference, image=digest)


def _reported(files: tuple[Path, ...], digest: str, found_at: str) -> tuple[ExternalReport, ...]:
    if not files and (digest or found_at):
        raise UsageError("--digest and --found-at belong to --findings.", "Give --findings FILE, too.")
    from dockgate.services import external_findings

    return tuple(finding for file in files for finding in external_findings.read_file(file, digest, found_at))
