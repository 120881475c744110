"""What every store of artifacts promises, and what the one in S3 does beyond."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from dockgate.bootstrap.adapters import open_blobs as open_configured_blobs
from dockgate.config import from_environment
from dockgate.shared.errors import DiskFullError, NotFoundError, UnavailableError, UsageError
from dockgate.store.blobs import Blobs, FileBlobs
from dockgate.store.s3 import MAX_OBJECT, MIN_CACHE_SECONDS, S3Blobs

BUCKET = "artifacts"
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
PREFIX = "dockgate/"


class S3:
    """Moto's bucket, and caches of machines that keep their artifacts in it. `errors` by operation are raised."""

    def __init__(self, folder: Path) -> None:
        self.client = boto3.client("s3", **KEYS)
        self.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.client.meta.events.register("before-call.s3", self._record_request)
        self.folder = folder
        self.requests: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.now = 1_000_000.0

    def _record_request(self, model: Any, **_: Any) -> None:
        self.requests.append(model.name)
        if model.name in self.errors:
            raise self.errors[model.name]

    def make_blobs(self, machine: str = "one", **options: Any) -> S3Blobs:
        return S3Blobs(lambda: self.client, BUCKET, PREFIX, self.folder / machine, clock=lambda: self.now, **options)

    def read_objects(self) -> dict[str, bytes]:
        contents = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {item["Key"]: self.client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in contents}


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    with mock_aws():
        yield S3(tmp_path)


@pytest.fixture(params=["files", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "files":
        return FileBlobs(tmp_path / "blobs")
    s3: S3 = request.getfixturevalue("s3")
    return s3.make_blobs()


def make_writer(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def test_a_blob_is_named_by_its_content(blobs: Blobs) -> None:
    names = {blobs.put(lambda path: path.write_bytes(b"content") and None) for _ in range(2)}
    assert names == {"sha256:" + hashlib.sha256(b"content").hexdigest()}
    assert blobs.get_path(names.pop()).read_bytes() == b"content"


def test_a_writer_may_replace_the_file_by_renaming(blobs: Blobs) -> None:
    def write(path: Path) -> None:
        assert not path.exists()
        beside = path.with_name("beside")
        beside.write_bytes(b"renamed")
        beside.replace(path)

    assert blobs.get_path(blobs.put(write)).read_bytes() == b"renamed"


def test_a_failed_write_leaves_no_blob(blobs: Blobs, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        blobs.put(write)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "0" * 64, "sha256:../../dockgate.db", "../dockgate.db"])
def test_other_digests_are_not_found(blobs: Blobs, digest: str) -> None:
    with pytest.raises(NotFoundError, match="artifact"):
        blobs.get_path(digest)


def test_blobs_are_listed_and_deleted_once(blobs: Blobs) -> None:
    digest = blobs.put(make_writer(b"content"))
    (blob,) = blobs.list()
    assert (blob.digest, blob.size) == (digest, 7)
    assert not blobs.delete(digest, before=blob.stored_at)
    assert blobs.get_path(digest).read_bytes() == b"content"
    assert blobs.delete(digest, before=blob.stored_at + 2)
    assert not blobs.delete(digest, before=blob.stored_at + 2)
    assert list(blobs.list()) == []
    with pytest.raises(NotFoundError):
        blobs.get_path(digest)


def test_a_changed_file_is_rejected_until_it_is_written_again(tmp_path: Path) -> None:
    """Between a build and its deploy, it would name another image or leave out the repository's policy."""
    blobs = FileBlobs(tmp_path / "blobs")
    digest = blobs.put(make_writer(b"content"))
    blobs.get_path(digest).write_bytes(b"forged.")
    for _ in range(2):
        with pytest.raises(UnavailableError, match="is damaged: it contains sha256:") as error_info:
            blobs.get_path(digest)
        assert error_info.value.advice
    assert blobs.put(make_writer(b"content")) == digest
    assert blobs.get_path(digest).read_bytes() == b"content"


def test_a_file_that_is_no_artifact_is_not_listed(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    (tmp_path / "blobs" / "sha256" / "letter.txt").write_text("hi")
    assert list(blobs.list()) == []


# --- in S3 -----------------------------------------------------------------------------------------------------------


def test_s3_verifies_the_digest_of_an_artifact(s3: S3) -> None:
    requests: list[dict[str, Any]] = []
    s3.client.meta.events.register("provide-client-params.s3.PutObject", lambda params, **_: requests.append(params))
    digest = s3.make_blobs().put(make_writer(b"content"))
    name = digest.removeprefix("sha256:")
    assert s3.read_objects() == {f"dockgate/sha256/{name}": b"content"}
    assert [call["ChecksumSHA256"] for call in requests] == ["7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="]


def test_another_machine_fetches_an_artifact_once(s3: S3) -> None:
    digest = s3.make_blobs("one").put(make_writer(b"content" * 1_000_000))
    second_machine = s3.make_blobs("other")
    s3.requests.clear()
    for _ in range(2):
        assert second_machine.get_path(digest).read_bytes() == b"content" * 1_000_000
    assert s3.requests == ["GetObject"]
    assert not list((s3.folder / "other" / "incoming").iterdir())


def test_a_damaged_object_is_rejected_until_it_is_written_again(s3: S3) -> None:
    digest = s3.make_blobs("one").put(make_writer(b"content"))
    name = digest.removeprefix("sha256:")
    s3.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}sha256/{name}", Body=b"forged")
    second_machine = s3.make_blobs("other")
    for _ in range(2):
        with pytest.raises(UnavailableError, match=f"artifacts/dockgate/sha256/{name} is damaged") as error_info:
            second_machine.get_path(digest)
        assert error_info.value.advice
    assert not [path for path in (s3.folder / "other").rglob("*") if path.is_file()]
    s3.make_blobs("third").put(make_writer(b"content"))
    assert second_machine.get_path(digest).read_bytes() == b"content"


def test_a_changed_cache_file_is_fetched_again(s3: S3) -> None:
    blobs = s3.make_blobs()
    digest = blobs.put(make_writer(b"content"))
    blobs.get_path(digest).write_bytes(b"forged")
    assert blobs.get_path(digest).read_bytes() == b"content"


def test_the_cache_is_bounded_and_keeps_recently_used_files(s3: S3) -> None:
    blobs = s3.make_blobs(cache_bytes=25)
    digests = [blobs.put(make_writer(b"%010d" % number)) for number in range(3)]
    cache = s3.folder / "one" / "sha256"
    assert len(list(cache.iterdir())) == 3
    s3.now += MIN_CACHE_SECONDS + 1
    blobs.get_path(digests[0])
    s3.now += 1
    last = blobs.put(make_writer(b"%010d" % 3))
    assert {path.name for path in cache.iterdir()} == {digest.removeprefix("sha256:") for digest in (digests[0], last)}
    s3.requests.clear()
    assert blobs.get_path(digests[1]).read_bytes() == b"0000000001"
    assert s3.requests == ["GetObject"]
    assert len(s3.read_objects()) == 4


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "op"), "AccessDenied: no"),
        (ReadTimeoutError(endpoint_url="there"), "there"),
    ],
)
def test_an_aws_error_is_reported_and_leaves_no_file(s3: S3, error: Exception, message: str) -> None:
    digest = s3.make_blobs("one").put(make_writer(b"content"))
    s3.errors = {"PutObject": error, "GetObject": error}
    second_machine = s3.make_blobs("other")
    for call in (lambda: second_machine.get_path(digest), lambda: second_machine.put(make_writer(b"more"))):
        with pytest.raises(UnavailableError, match=message) as error_info:
            call()
        assert error_info.value.advice
    assert not [path for path in (s3.folder / "other").rglob("*") if path.is_file()]
    s3.errors = {}
    assert second_machine.get_path(digest).read_bytes() == b"content"


def test_a_missing_bucket_is_reported(s3: S3) -> None:
    blobs = S3Blobs(lambda: s3.client, "elsewhere", "", s3.folder / "cache")
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        blobs.put(make_writer(b"content"))


def test_the_settings_choose_where_artifacts_are_stored(tmp_path: Path) -> None:
    requests: list[tuple[str, str | None]] = []

    def make_client(service: str, region: str | None) -> Any:
        requests.append((service, region))
        return boto3.client(service, **KEYS)

    def open_blobs_at(setting: str) -> Blobs | None:
        return open_configured_blobs(
            from_environment({"DOCKGATE_DATA": str(tmp_path), "DOCKGATE_BLOBS": setting}), make_client
        )

    assert open_blobs_at("") is None
    with mock_aws():
        s3 = S3(tmp_path)
        for setting in (f"s3://{BUCKET}", f"s3://{BUCKET}/", f"s3://{BUCKET}/a/b", f"s3://{BUCKET}/a/b/"):
            store = open_blobs_at(setting)
            assert store is not None
            store.put(make_writer(b"content"))
        name = hashlib.sha256(b"content").hexdigest()
        assert sorted(s3.read_objects()) == [f"a/b/sha256/{name}", f"sha256/{name}"]
    assert set(requests) == {("s3", None)}
    for wrong in ("artifacts", "https://artifacts.s3.amazonaws.com", "s3://", "s3://UPPER/x", "s3://artifacts/a?b"):
        with pytest.raises(UsageError, match="DOCKGATE_BLOBS"):
            open_blobs_at(wrong)


def test_an_artifact_beyond_the_limit_is_rejected_with_the_name_of_the_setting(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path, limit=100)

    def write(text: bytes) -> str:
        return blobs.put(lambda path: path.write_bytes(text) and None)

    first = write(b"x" * 60)
    assert write(b"x" * 60) == first  # it is there already
    with pytest.raises(DiskFullError, match="use 0 of 0 MiB") as error:
        write(b"y" * 60)
    assert "DOCKGATE_BLOBS_LIMIT" in str(error.value.advice)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [first.removeprefix("sha256:")]
    write(b"y" * 40)


def test_the_room_for_artifacts_counts_unfinished_files(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path, limit=100)
    rooms = []

    def write(path: Path) -> None:
        rooms.append(blobs.count_free_bytes())
        path.with_name("beside").write_bytes(b"y" * 30)
        rooms.append(blobs.count_free_bytes())
        path.write_bytes(b"y" * 10)
        with pytest.raises(DiskFullError, match="use 0 of 0 MiB") as error:
            blobs.count_free_bytes()
        raise error.value

    blobs.put(make_writer(b"x" * 60))
    with pytest.raises(DiskFullError):
        blobs.put(write)
    assert rooms == [40, 10]
    assert blobs.count_free_bytes() == 40


def test_the_room_in_a_bucket_is_the_size_of_one_object(s3: S3) -> None:
    blobs = s3.make_blobs()
    rooms = []

    def write(path: Path) -> None:
        path.write_bytes(b"x" * 30)
        rooms.append(blobs.count_free_bytes())
        with path.open("ab") as file:
            file.truncate(MAX_OBJECT)
        with pytest.raises(DiskFullError):
            blobs.count_free_bytes()
        path.write_bytes(b"x")

    blobs.put(write)
    assert rooms == [MAX_OBJECT - 30]
