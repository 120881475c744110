"""The statements of a module, without its expressions: a walk over these alone visits a sixth of the nodes."""

import ast
from collections.abc import Iterable, Iterator

BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


def iterate_statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """These nodes and the statements in their blocks, in functions too."""
    for node in nodes:
        yield node
        for block in BLOCKS:
            yield from iterate_statements(getattr(node, block, ()))
