"""How many executions the functions that answer approvals may have for themselves."""

from dockgate.aws.stack.account import Account, told

RESERVED = 5
"""for each function: the sweep's clock and two executions for findings have room in it"""
FUNCTIONS = 3
"""that answer approvals: record, judge, sweep"""
_LEFT = 100
"""executions that Lambda keeps for functions without a reservation (its developer guide, "Reserved concurrency")"""


def reserve(account: Account) -> str:
    """The parameter ReservedConcurrency for a stack that has none yet: "0" where the account has too few to spare, as
    new accounts have."""
    with told("asking for the limits of Lambda"):
        limits = account.client("lambda").get_account_settings()["AccountLimit"]
    is_enough = limits["UnreservedConcurrentExecutions"] - FUNCTIONS * RESERVED >= _LEFT
    return str(RESERVED if is_enough else 0)
