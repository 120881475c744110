"""`dockgate gate`: the verdict on an image, judged here or by a server."""

from pathlib import Path

import click

from dockgate.cli.images import Asked, image
from dockgate.cli.options import Output, database, outputs, progress, write
from dockgate.config import from_environment
from dockgate.core.approvals import ApprovalState
from dockgate.core.verdict import Status

EXITS = {Status.APPROVED: 0, Status.REJECTED: 1, Status.UNDETERMINED: 3}
WITHOUT_VERDICT = {ApprovalState.APPROVED: 0, ApprovalState.REJECTED: 1}
"""the exits of approvals that a person settled; nobody knows about the rest: 3"""


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
)
@database
@click.option("--policy", default="default", show_default=True, metavar="FILE|NAME", help="What IMAGE is judged by.")
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
@click.option("--service", default="", help="The service that IMAGE is to be deployed to.")
@outputs
@click.pass_context
def command(
    context: click.Context,
    asked: Asked,
    database: Path | None,
    policy: str,
    server: str | None,
    wait: bool,
    timeout: int,
    pipeline: str,
    stage: str,
    execution: str,
    service: str,
    outputs: tuple[Output, ...],
) -> None:
    """Judge IMAGE by a policy. Exits 0 when it is approved, 1 rejected, 3 undetermined, 2 on a fault.

    The verdict on an index is the worst of its platforms.

    With --server a server judges, and keeps the verdict. Without --wait, one that has no answer yet gives 3. A server
    that is started again meanwhile is asked again.
    """
    if server is not None:
        from dockgate.cli.waiting import Asking, ask, demand_remote

        local = {"--database": database is not None, "--insecure": asked.insecure}
        demand_remote(asked.platform, {**local, "--ca-bundle": asked.ca_bundle is not None})
        asking = Asking(server, asked.reference, policy, pipeline, stage, execution, service, timeout)
        with progress() as show:
            heard = ask(asking, wait, show)
        if heard.report is not None:
            write(heard.report, outputs)
            context.exit(EXITS[heard.report.verdict.status])
        click.echo(f"{heard.approval}: {heard.state}{f', {heard.summary}' if heard.summary else ''}", err=True)
        context.exit(WITHOUT_VERDICT.get(heard.state, EXITS[Status.UNDETERMINED]))
    if wait:
        raise click.UsageError("--wait goes with --server URL")

    from dockgate.bootstrap import gate, scan

    chosen = gate.policy_of(policy)
    settings = from_environment()
    with scan.advisories(database or settings.advisories) as advisories:
        scanned = asked.scan(settings)
        report = gate.judge(scanned, advisories, chosen)
    write(report, outputs)
    context.exit(EXITS[report.verdict.status])
