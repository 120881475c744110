"""Artifacts in Amazon S3, as `<prefix>sha256/<64 hex digits>`, with a cache of files on this machine."""

import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dockgate.shared.aws import AwsFailure, LazyClient, translate_aws_errors
from dockgate.shared.aws_locations import S3Location
from dockgate.shared.digest import from_hex, hash_file, is_digest
from dockgate.shared.errors import DiskFullError, DockgateError, NotFoundError
from dockgate.shared.interfaces import override
from dockgate.store.blobs import (
    Blobs,
    StoredBlob,
    count_folder_bytes,
    create_temporary_blob,
    make_blob_name,
    make_damaged_artifact_error,
    make_folders,
    make_unknown_artifact_error,
)

# The size of the cache.
CACHE_BYTES = 2 << 30
# Bytes that S3 takes in one PutObject.
MAX_OBJECT = 5 << 30
# A file that was used so recently may be open, and is kept even if the cache is full.
MIN_CACHE_SECONDS = 600
# Bytes.
_CHUNK = 1 << 20
_MISSING_CODES = ("404", "NoSuchKey", "NotFound")


class S3Blobs(Blobs):
    """Artifacts in a bucket, cached as files. Thread-safe.

    `prefix` is empty or ends in a slash; `cache` is a folder for this store alone. `client` makes a boto3 client, at
    first use.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        bucket: str,
        prefix: str,
        cache: Path,
        cache_bytes: int = CACHE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._cache, self._incoming = make_folders(cache)
        self._cache_bytes = cache_bytes
        self._clock = clock
        self._client = LazyClient(client)
        self._lock = threading.Lock()

    @override
    def put(self, write: Callable[[Path], object]) -> str:
        """Store the file in S3, which verifies the digest and keeps all of it or nothing."""
        with create_temporary_blob(self._incoming, write) as (new, name):
            checksum = base64.b64encode(bytes.fromhex(name)).decode()
            with self._translate_errors("writing", name), new.open("rb") as file:
                self._client().put_object(
                    Bucket=self._bucket, Key=self._make_key(name), Body=file, ChecksumSHA256=checksum
                )
            self._keep(new, name)
        return from_hex(name)

    @override
    def count_free_bytes(self) -> int:
        """The bytes that one S3 call takes, minus all files that are being written on this machine."""
        free = MAX_OBJECT - count_folder_bytes(self._incoming)
        if free <= 0:
            raise DiskFullError(
                f"artifacts that are being written in {self._incoming} have {MAX_OBJECT >> 20} MiB", "Try again later."
            )
        return free

    @override
    def get_path(self, digest: str) -> Path:
        """A file of the cache, which must not be written to and is kept for at least ten minutes.

        Its content is verified against the digest.
        """
        name = make_blob_name(digest)
        path = self._cache / name
        try:
            os.utime(path, (self._clock(),) * 2)
            if hash_file(path) == name:
                return path
        except FileNotFoundError:
            pass
        with create_temporary_blob(self._incoming, lambda into: self._fetch(name, into)) as (new, actual):
            if actual != name:
                raise make_damaged_artifact_error(self._describe_object(name), actual)
            self._keep(new, name)
        return path

    @override
    def list(self) -> Iterator[StoredBlob]:
        """Every object below the prefix whose name is a digest."""
        prefix = f"{self._prefix}sha256/"
        with translate_aws_errors(f"listing {S3Location(self._bucket, prefix)}", lambda _: None):
            for page in self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in page.get("Contents") or ():
                    digest = from_hex(entry["Key"].removeprefix(prefix))
                    if is_digest(digest):
                        yield StoredBlob(digest, int(entry["Size"]), entry["LastModified"].timestamp())

    @override
    def delete(self, digest: str, before: float) -> bool:
        """Delete an object. If it is stored again between the check and the deletion, it is deleted, too."""
        name = make_blob_name(digest)
        try:
            with self._translate_errors("reading", name):
                head = self._client().head_object(Bucket=self._bucket, Key=self._make_key(name))
        except NotFoundError:
            return False
        if head["LastModified"].timestamp() >= before:
            return False
        with self._translate_errors("deleting", name):
            self._client().delete_object(Bucket=self._bucket, Key=self._make_key(name))
        (self._cache / name).unlink(missing_ok=True)
        return True

    def _fetch(self, name: str, into: Path) -> None:
        with self._translate_errors("reading", name), into.open("wb") as file:
            answer = self._client().get_object(Bucket=self._bucket, Key=self._make_key(name))
            for chunk in answer["Body"].iter_chunks(_CHUNK):
                file.write(chunk)

    def _keep(self, new: Path, name: str) -> None:
        """Move a file into the cache, and delete the least recently used files beyond its size."""
        os.utime(new, (self._clock(),) * 2)
        new.replace(self._cache / name)
        with self._lock:
            files = sorted(
                (info.st_mtime, info.st_size, path) for path in self._cache.iterdir() if (info := _find_status(path))
            )
            excess = sum(size for _, size, _ in files) - self._cache_bytes
            for used_at, size, path in files:
                if excess <= 0 or used_at > self._clock() - MIN_CACHE_SECONDS:
                    break
                path.unlink(missing_ok=True)
                excess -= size

    def _make_key(self, name: str) -> str:
        return f"{self._prefix}sha256/{name}"

    def _describe_object(self, name: str) -> str:
        return str(S3Location(self._bucket, self._make_key(name)))

    def _translate_errors(self, action: str, name: str) -> AbstractContextManager[None]:
        """Raise NotFoundError for an object that does not exist, UnavailableError for other failures."""

        def classify(failure: AwsFailure) -> DockgateError | None:
            return make_unknown_artifact_error(from_hex(name)) if failure.code in _MISSING_CODES else None

        return translate_aws_errors(f"{action} {self._describe_object(name)}", classify)


def _find_status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
