"""JSON Schemas (2020-12) of all events, one file for each kind.

They describe the whole envelope, as targets get it and as the API lists it.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

_SEQ = {"type": "integer", "minimum": 1, "description": "The number of the event, in answers of the API alone."}


@cache
def load() -> dict[str, Any]:
    """The schemas by `detail-type`, sorted."""
    documents = [
        json.loads(file.read_text("utf-8")) for file in files(__name__).iterdir() if file.name.endswith(".json")
    ]
    for document in documents:
        document["properties"]["seq"] = _SEQ
    return dict(sorted((document["properties"]["detail-type"]["const"], document) for document in documents))
