"""Reserved concurrency of the functions that answer approvals."""

from dockgate.aws.stack.account import Account, explain_errors

# For each function: enough for the scheduled sweep and two executions for findings.
RESERVED = 5
# Functions that answer approvals: record, judge, sweep.
FUNCTIONS = 3
# Executions that Lambda keeps for functions without a reservation (its developer guide, "Reserved concurrency").
_MINIMUM_UNRESERVED = 100


def reserve(account: Account) -> str:
    """The parameter ReservedConcurrency for a new stack.

    "0" if the account has too few executions to reserve some, as new accounts have.
    """
    with explain_errors("asking for the limits of Lambda"):
        limits = account.client("lambda").get_account_settings()["AccountLimit"]
    is_enough = limits["UnreservedConcurrentExecutions"] - FUNCTIONS * RESERVED >= _MINIMUM_UNRESERVED
    return str(RESERVED if is_enough else 0)
