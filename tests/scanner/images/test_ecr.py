"""Tokens for Amazon ECR: which registries, from whom, and how long."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from moto import mock_aws

from dockgate.scanner.images.credentials import Credentials, find_credentials
from dockgate.scanner.images.ecr import EcrTokens
from dockgate.shared.aws import EcrRegistry
from dockgate.shared.errors import DeniedError, UnavailableError

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
START = datetime(2026, 11, 24, 10, tzinfo=UTC)


class Ecr:
    """Gives another token each time, good for twelve hours."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.now = START
        self.error: Exception | None = None
        self.text = "AWS:secret-{}"

    def get_client(self, region: str) -> "Ecr":
        self.requests.append(region)
        return self

    def get_authorization_token(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        token = base64.b64encode(self.text.format(len(self.requests)).encode()).decode()
        return {"authorizationData": [{"authorizationToken": token, "expiresAt": self.now + timedelta(hours=12)}]}


@pytest.fixture
def ecr() -> Ecr:
    return Ecr()


@pytest.fixture
def tokens(ecr: Ecr) -> EcrTokens:
    return EcrTokens(ecr.get_client, lambda: ecr.now)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-west-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ("public.ecr.aws", ""),
        (f"{HOST}.example.org", ""),
        (f"{HOST}:5000", ""),
        ("127.0.0.1:7421", ""),
    ],
)
def test_ecr_is_known_by_its_host_name(host: str, region: str) -> None:
    registry = EcrRegistry.parse(host)

    assert (registry.region if registry else "") == region


def test_a_token_is_cached_and_renewed_before_it_expires(ecr: Ecr, tokens: EcrTokens) -> None:
    assert [tokens.get(HOST), tokens.get(HOST)] == [("AWS", "secret-1")] * 2
    ecr.now += timedelta(hours=11, minutes=45)
    assert tokens.get(HOST) == ("AWS", "secret-2")
    assert ecr.requests == ["eu-west-1"] * 2


def test_each_registry_has_its_own(ecr: Ecr, tokens: EcrTokens) -> None:
    other_registry = HOST.replace("eu-west-1", "us-east-1")
    assert tokens.get(HOST) != tokens.get(other_registry)
    assert ecr.requests == ["eu-west-1", "us-east-1"]


def test_stored_credentials_of_a_login_take_precedence_over_ecr(ecr: Ecr, tokens: EcrTokens, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert find_credentials("registry.test", "app", environ, tokens) is None
    assert ecr.requests == []
    assert find_credentials(HOST, "app", environ, tokens) == Credentials("AWS", "secret-1")
    (tmp_path / ".docker").mkdir()
    auth = base64.b64encode(b"me:mine").decode()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {HOST: {"auth": auth}}}))
    assert find_credentials(HOST, "app", environ, tokens) == Credentials("me", "mine")


def test_a_refusal_tells_what_is_missing_and_is_not_kept(ecr: Ecr, tokens: EcrTokens) -> None:
    denied_error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "GetAuthorizationToken")
    for error in (denied_error, NoCredentialsError()):
        ecr.error = error
        with pytest.raises(DeniedError) as error_info:
            tokens.get(HOST)
        assert error_info.value.advice
    ecr.error = None
    assert tokens.get(HOST) == ("AWS", f"secret-{len(ecr.requests)}")


def test_an_answer_without_a_token_says_so_without_showing_it(ecr: Ecr, tokens: EcrTokens) -> None:
    ecr.text = "secret{}"
    with pytest.raises(UnavailableError, match="has no token") as error_info:
        tokens.get(HOST)
    assert "secret" not in error_info.value.full_message


def test_the_real_client_is_understood() -> None:
    with mock_aws():
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        tokens = EcrTokens(lambda region: boto3.client("ecr", region_name=region, **keys), lambda: START)
        assert tokens.get(HOST) == ("AWS", "123456789012-auth-token")
