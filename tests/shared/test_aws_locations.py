"""Locations in S3 and in the parameter store."""

import pytest

from dockgate.shared.aws_locations import S3Location, SsmParameter, parse_document, parse_prefix
from dockgate.shared.errors import UsageError


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3://ours/a/b.json", S3Location("ours", "a/b.json")),
        ("ssm:/dockgate/policy", SsmParameter("/dockgate/policy")),
        ("ssm:policy", SsmParameter("policy")),
    ],
)
def test_the_location_of_a_document_is_read_and_written(text: str, location: S3Location | SsmParameter) -> None:
    assert parse_document(text) == location
    assert str(location) == text


@pytest.mark.parametrize("text", ["default", "policy.yaml", "S3://ours/a", "https://ours.s3.amazonaws.com/a", ""])
def test_other_texts_are_no_location(text: str) -> None:
    assert parse_document(text) is None


@pytest.mark.parametrize("text", ["s3://", "s3://ours", "s3://ours/", "s3:///a"])
def test_a_document_in_s3_needs_a_bucket_and_a_key(text: str) -> None:
    with pytest.raises(UsageError, match="names no object"):
        parse_document(text)


@pytest.mark.parametrize("text", ["s3://ours", "s3://ours/", "s3://ours//"])
def test_a_prefix_may_be_the_whole_bucket(text: str) -> None:
    assert parse_prefix("SETTING", text) == S3Location("ours", "")


def test_a_prefix_has_no_slashes_around_it() -> None:
    assert parse_prefix("SETTING", "s3://ours/a/b/") == S3Location("ours", "a/b")


@pytest.mark.parametrize("text", ["ours", "ssm:/a", "s3://", "s3://B", "s3://ours/a?b", "s3://ours/a b"])
def test_an_unsafe_prefix_is_refused_with_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(UsageError, match="SETTING"):
        parse_prefix("SETTING", text)
