"""The base of types for text that has a meaning of its own, such as the id of an execution.

A value of such a type is text to everything that does not know the type: JSON, SQL, templates and URLs.
"""

from collections.abc import Callable
from typing import Any


class TextType(str):
    """Text with a meaning of its own. Its subclasses know what is in the text."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, make_schema: Callable[[type[str]], Any]) -> dict[str, Any]:
        """Return how pydantic reads and documents the type: as text, of which the type is made once.

        `web` declares parameters and bodies by it. The schema is a plain dict, so nothing of pydantic is imported.
        Source: pydantic 2, "Custom Types", and `no_info_after_validator_function` of pydantic-core.
        """
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": cls},
            "schema": make_schema(str),
        }
