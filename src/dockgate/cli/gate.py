"""`dockgate gate`: judge an image against a policy, here or on a server."""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.image_argument import ImageArgument, add_image_argument
from dockgate.cli.options import EXISTING_FILE, FILE, DurationType, database_option, found_at_option, show_progress
from dockgate.cli.output import print_text
from dockgate.cli.report_options import Display, Output, add_display_options, verdict_output_options, write_report
from dockgate.config import Settings, from_environment
from dockgate.delivery.model import ApprovalState
from dockgate.gate.model import ExemptionSet, ExternalReport, Policy, Status
from dockgate.gate.policy import PROVENANCE_RULE
from dockgate.reports import GateReport
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from dockgate.cli.server_gate import GateRequest
    from dockgate.gate.provenance import ProvenanceFacts

EXITS = {
    Status.APPROVED: ExitCode.SUCCEEDED,
    Status.REJECTED: ExitCode.REJECTED,
    Status.UNDETERMINED: ExitCode.UNDETERMINED,
}
# Exit codes of approvals that a person decided.
DECISION_EXITS = {ApprovalState.APPROVED: ExitCode.SUCCEEDED, ApprovalState.REJECTED: ExitCode.REJECTED}


@click.command()
@add_image_argument(
    platform="all",
    help="Judge only this platform of an index; the verdict is then about that image, not about the index.",
    is_required=False,
)
@database_option
@click.option(
    "--policy",
    metavar="FILE|NAME",
    help="The policy.  [default: default; with --server the policy of the image's repository]",
)
@click.option("--server", metavar="URL", help="Use this server's gate. The server must be able to pull IMAGE.")
@click.option("--wait", is_flag=True, help="Wait for the server's answer.")
@click.option(
    "--timeout",
    default="1h",
    show_default=True,
    type=DurationType(),
    help="Time until the approval expires: 90s, 15m, 1h.",
)
@click.option(
    "--pipeline", default="gate", show_default=True, help="The name of the requesting pipeline, with --server."
)
@click.option("--stage", default="gate", show_default=True, help="The pipeline's stage.")
@click.option("--execution", help="The pipeline's execution; the same execution gets the same answer.  [default: new]")
@click.option("--service", help="The server's service that IMAGE is for.")
@click.option(
    "--findings",
    multiple=True,
    type=FILE,
    help="A report of another scanner: Trivy or Grype JSON, SARIF, CycloneDX with vulnerabilities, Inspector "
    "findings or an Inspector2 Scan event. Without IMAGE nothing is scanned; with IMAGE the worst result counts. "
    "May be repeated.",
)
@click.option(
    "--inspector",
    is_flag=True,
    help="Use the findings of Amazon Inspector instead of a scan. IMAGE must be in Amazon ECR. What Inspector cannot "
    "scan, or has not scanned yet, is undetermined.",
)
@click.option("--digest", metavar="sha256:...", help="The image's digest, for reports without one.")
@found_at_option
@click.option(
    "--waivers",
    multiple=True,
    type=EXISTING_FILE,
    help="A YAML file of waivers to apply. May be repeated.",
)
@click.option(
    "--vex",
    multiple=True,
    type=EXISTING_FILE,
    help="A VEX document to apply; the policy must trust its author. May be repeated.",
)
@click.option(
    "--provenance",
    "statements",
    multiple=True,
    type=EXISTING_FILE,
    help="A signed provenance statement (DSSE), in addition to those attached to IMAGE. The policy's rule provenance "
    "defines which are trusted. May be repeated.",
)
@add_display_options
@verdict_output_options
@click.pass_context
def command(
    context: click.Context,
    /,
    argument: ImageArgument,
    database: Path | None,
    policy: str | None,
    server: str | None,
    wait: bool,
    findings: tuple[Path, ...],
    inspector: bool,
    digest: str | None,
    found_at: str | None,
    waivers: tuple[Path, ...],
    vex: tuple[Path, ...],
    statements: tuple[Path, ...],
    outputs: tuple[Output, ...],
    display: Display,
    **server_request: Any,
) -> None:
    """Judge IMAGE by a policy.

    Exits 0 when the image is approved, 1 when rejected, 3 when undetermined, 2 on an error. The verdict on an index is
    the worst of its platforms.

    With --server the server judges the image and keeps the verdict. Without --wait the command exits 3 if there is
    no verdict yet. Calls are retried while the server restarts.
    """
    if server is not None:
        local = {
            "--database": database is not None,
            "--insecure": argument.is_insecure,
            "--waivers": bool(waivers),
            "--vex": bool(vex),
            "--inspector": inspector,
            "--provenance": bool(statements),
            "--ca-bundle": argument.ca_bundle is not None,
        }
        gate_request = _make_server_request(server, argument, policy or "", findings, local, outputs, server_request)
        _exit_by_server(context, gate_request, wait, outputs, display)
    if wait:
        raise UsageError("--wait needs --server", "Add --server URL, or omit --wait.")

    from dockgate.services import local_gate
    from dockgate.vulnerabilities.database.database import Database

    if not (argument.reference or findings or inspector):
        raise UsageError("no image and no findings are given", "Pass an IMAGE, or --findings FILE.")
    loaded_policy = local_gate.load_policy(policy or "default")
    all_waivers = local_gate.read_waivers(waivers, vex)
    settings = from_environment()
    reports = _read_reports(findings, digest, found_at)
    if inspector:
        report = _judge_inspector_findings(argument, settings, loaded_policy, reports, all_waivers)
    elif not argument.reference:
        path = database or settings.advisories
        with Database.open(path) if path.exists() else nullcontext() as advisories:
            report = local_gate.judge_reported(reports, loaded_policy, all_waivers=all_waivers, advisories=advisories)
    else:
        with Database.open(database or settings.advisories) as advisories:
            image = argument.scan(settings, should_hash=True, is_quiet=display.is_quiet)
            facts = _find_provenance(argument, image.digest, loaded_policy, statements, settings)
            report = local_gate.judge(
                image, advisories, loaded_policy, external_reports=reports, all_waivers=all_waivers, provenance=facts
            )
    write_report(report, outputs, display)
    context.exit(EXITS[report.verdict.status])


def _make_server_request(
    server: str,
    argument: ImageArgument,
    policy: str,
    findings: tuple[Path, ...],
    local: dict[str, bool],
    outputs: tuple[Output, ...],
    fields: Mapping[str, Any],
) -> "GateRequest":
    """The request to the server at this URL. Raises UsageError for options that only a local verdict takes.

    `local` says which of these options were given, `fields` are further ones of the request.
    """
    if findings or not argument.reference:
        raise UsageError(
            "--server needs an image in a registry, and takes no --findings",
            "Upload reports of other scanners with `dockgate image report DIGEST FILE`.",
        )
    from dockgate.cli.server_gate import GateRequest, require_remote_image, require_server_policy
    from dockgate.cli.verdict import is_case_needed

    require_remote_image(argument.reference, argument.platform, local)
    require_server_policy(policy)
    return GateRequest(server, argument.reference, policy, should_fetch_case=is_case_needed(outputs), **fields)


def _exit_by_server(
    context: click.Context,
    gate_request: "GateRequest",
    should_wait: bool,
    outputs: tuple[Output, ...],
    display: Display,
) -> NoReturn:
    """Request the server's verdict, write its report, and exit by the decision."""
    from dockgate.cli.server_gate import request_verdict

    with show_progress(is_quiet=display.is_quiet) as show:
        answer = request_verdict(gate_request, should_wait, show)
    if answer.report is not None:
        write_report(answer.report, outputs, display)
        status = answer.report.verdict.status
        if answer.state is ApprovalState.APPROVED or status is not Status.APPROVED:
            context.exit(EXITS[status])  # an approving verdict alone does not pass an image that people rejected
    print_text(f"{answer.approval}: {answer.state}{f', {answer.summary}' if answer.summary else ''}", is_error=True)
    context.exit(DECISION_EXITS.get(answer.state, ExitCode.UNDETERMINED))


def _find_provenance(
    argument: ImageArgument, digest: str, policy: Policy, statements: tuple[Path, ...], settings: Settings
) -> "ProvenanceFacts | None":
    """The image's provenance, None if the policy does not require it."""
    if PROVENANCE_RULE not in policy.rules:
        if statements:
            raise UsageError(
                "the policy does not check provenance, so --provenance has no effect",
                "Add the rule provenance to the policy.",
            )
        return None
    from dockgate.scanner.images import attached_documents
    from dockgate.services.verdicts import attached_statements

    bundle = argument.ca_bundle or settings.ca_bundle
    read_beside = partial(attached_documents.read_beside, ca_bundle=bundle, is_insecure=argument.is_insecure)
    return attached_statements.look_up(argument.reference, digest, policy, read_beside, statements)


def _judge_inspector_findings(
    argument: ImageArgument,
    settings: Settings,
    policy: Policy,
    external_reports: tuple[ExternalReport, ...],
    all_waivers: ExemptionSet,
) -> GateReport:
    from dockgate.aws.inspector_findings import InspectorFindings
    from dockgate.scanner.images.registry import read_digest
    from dockgate.services import local_gate
    from dockgate.services.images import external_findings

    if not argument.reference or argument.platform != "all":
        raise UsageError("--inspector needs an image name, and takes no --platform", "Pass IMAGE without --platform.")
    digest, reports = external_findings.fetch_inspector_reports(
        argument.reference,
        InspectorFindings(),
        partial(read_digest, ca_bundle=argument.ca_bundle or settings.ca_bundle),
    )
    digests = {digest, *(entry.inventory.image_digest for entry in reports)}
    for entry in external_reports:
        if entry.inventory.image_digest not in digests:
            raise UsageError(
                f"the {entry.source} report is about {entry.inventory.image_digest}, not about {argument.reference}",
                f"The image's digest is {digest}. Scan that image again.",
            )
    return local_gate.judge_reported(
        (*reports, *external_reports), policy, all_waivers=all_waivers, reference=argument.reference, image=digest
    )


def _read_reports(files: tuple[Path, ...], digest: str | None, found_at: str | None) -> tuple[ExternalReport, ...]:
    if not files and (digest or found_at):
        raise UsageError("--digest and --found-at need --findings", "Add --findings FILE.")
    from dockgate.services.images import external_findings

    return tuple(report for file in files for report in external_findings.read_file(file, digest, found_at))
