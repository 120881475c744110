"""Where artifacts are kept: in the data folder, unless the settings name a bucket."""

import re
from functools import partial

from dockgate.config import Settings
from dockgate.shared.aws import Client, boto3_client
from dockgate.shared.errors import UsageError
from dockgate.store.blobs import Blobs
from dockgate.store.s3 import S3Blobs

CACHE = "blobs-cache"
"""in the data folder; its content may be deleted while no server runs"""
_PLACE = r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[A-Za-z0-9!_.*'()/-]*))?"
"""Amazon S3's user guide, "Bucket naming rules", and of "Naming objects" the safe characters"""


def blobs(settings: Settings, client: Client | None = None) -> Blobs | None:
    """None for the data folder. Raises UsageError for what is no place in S3, and when boto3 is needed and missing."""
    if not settings.blobs:
        return None
    place = re.fullmatch(_PLACE, settings.blobs)
    if not place:
        raise UsageError(f"DOCKGATE_BLOBS is {settings.blobs!r}, which is no place in S3.", "Write s3://BUCKET/PREFIX.")
    prefix = (place["prefix"] or "").strip("/")
    make = partial(client or boto3_client(), "s3", None)
    return S3Blobs(make, place["bucket"], f"{prefix}/" if prefix else "", settings.data / CACHE)
