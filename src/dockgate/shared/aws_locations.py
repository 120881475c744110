"""Where things are in Amazon S3 and in the parameter store, as people write it."""

import re
from typing import NamedTuple

from dockgate.shared.errors import UsageError

_S3, _SSM = "s3://", "ssm:"
# Amazon S3's user guide, "Bucket naming rules", and of "Naming objects" the safe characters.
_BUCKET, _PREFIX = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"), re.compile(r"[A-Za-z0-9!_.*'()/-]*")


class S3Location(NamedTuple):
    """An object in a bucket, or all objects whose keys begin with `key`: "s3://BUCKET/KEY"."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{_S3}{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> "S3Location | None":
        """Read a location; without a key it is the whole bucket. None for other texts."""
        if not text.startswith(_S3):
            return None
        bucket, _, key = text.removeprefix(_S3).partition("/")
        return cls(bucket, key)


class SsmParameter(NamedTuple):
    """A parameter in the parameter store of AWS Systems Manager: "ssm:NAME"."""

    name: str

    def __str__(self) -> str:
        return f"{_SSM}{self.name}"

    @classmethod
    def parse(cls, text: str) -> "SsmParameter | None":
        """Read a parameter's location. None for other texts."""
        return cls(text.removeprefix(_SSM)) if text.startswith(_SSM) else None


def parse_document(text: str) -> S3Location | SsmParameter | None:
    """Read the location of a document, None for other texts.

    UsageError for one in S3 without bucket or key.
    """
    location = S3Location.parse(text)
    if location and not all(location):
        raise UsageError(f"{text!r} names no object", "Write s3://BUCKET/KEY.")
    return location or SsmParameter.parse(text)


def parse_prefix(setting: str, text: str) -> S3Location:
    """Read the location of objects, whose `key` is without slashes around it.

    UsageError naming the setting.
    """
    location = S3Location.parse(text)
    if not location or not _BUCKET.fullmatch(location.bucket) or not _PREFIX.fullmatch(location.key):
        raise UsageError(f"{setting} is {text!r}, which is not a location in S3", "Write s3://BUCKET/PREFIX.")
    return location._replace(key=location.key.strip("/"))
