"""Fields that several documents share: names and durations."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_seconds(value: object) -> object:
    """ "90s", "15m", "12h", "7d" as seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)([smhd])", value)):
        return int(match[1]) * _UNITS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a duration such as 90s, 15m, 12h or 7d")


class Strict(BaseModel):
    """A model without type coercion or unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Name = Annotated[str, Field(pattern=NAME)]
Seconds = Annotated[int, BeforeValidator(read_seconds), Field(ge=1, le=60 * 86400)]
