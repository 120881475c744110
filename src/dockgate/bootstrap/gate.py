"""The gate at a terminal: a scan judged by a policy that comes with Dockgate or lies in a file."""

from datetime import UTC, datetime
from pathlib import Path

from dockgate import __version__, ecosystems, rules
from dockgate.bootstrap.scan import Scanned
from dockgate.core import gate
from dockgate.core.errors import NotFoundError, UsageError
from dockgate.core.ports import AdvisoryReader
from dockgate.core.verdict import Case, Policy
from dockgate.definitions import policy as policies
from dockgate.reports import GateReport


def judge(scanned: Scanned, advisories: AdvisoryReader, policy: Policy, now: datetime | None = None) -> GateReport:
    """The verdict on what was read, as of `now` (the present moment unless given)."""
    case = Case(
        image=scanned.digest,
        policy=policy,
        now=(now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        engine=__version__,
        inventories=scanned.inventories,
        consulted=advisories.slice(scanned.inventories),
    )
    verdict = gate.judge(case, ecosystems.load(), rules.load())
    return GateReport(scanned.reference, verdict, scanned.inventories)


def policy_of(given: str) -> Policy:
    """The policy of this name, or in this YAML file, which is then called as the file is without its suffix.

    Raises NotFoundError for neither, DefinitionError for a wrong document.
    """
    held = rules.load()
    if given in policies.BUILTIN:
        return policies.builtin(given, held)
    file = Path(given)
    try:
        return policies.policy(file.read_text("utf-8"), file.stem, held, given)
    except FileNotFoundError:
        names = ", ".join(policies.BUILTIN)
        raise NotFoundError(f"There is no policy {given!r}.", f"Name a YAML file, or one of: {names}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{given} is not UTF-8: {error}.", "Save the policy as UTF-8.") from error
