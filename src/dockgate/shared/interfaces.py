"""`override` marks a method that implements or replaces one of a base class, which has the docstring."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # mypy then checks that the base class has the method
    from typing_extensions import override
else:  # Python 3.11 has no typing.override

    def override(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


__all__ = ["override"]
