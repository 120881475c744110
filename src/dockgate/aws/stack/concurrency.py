"""How many executions the functions that answer approvals may have for themselves."""

from dockgate.aws.stack.account import Account, explain_errors

# For each function: the sweep's clock and two executions for findings have room in it.
RESERVED = 5
# That answer approvals: record, judge, sweep.
FUNCTIONS = 3
# Executions that Lambda keeps for functions without a reservation (its developer guide, "Reserved concurrency").
_MINIMUM_UNRESERVED = 100


def reserve(account: Account) -> str:
    """The parameter ReservedConcurrency for a stack that has none yet: "0" where the account has too few to spare, as
    new accounts have."""
    with explain_errors("asking for the limits of Lambda"):
        limits = account.client("lambda").get_account_settings()["AccountLimit"]
    is_enough = limits["UnreservedConcurrentExecutions"] - FUNCTIONS * RESERVED >= _MINIMUM_UNRESERVED
    return str(RESERVED if is_enough else 0)
