"""Where the registry stores blobs, and what it gets to know of credentials."""

import json
from pathlib import Path

import pytest
from tests.ports import find_free_port

from dockgate.server import registry_service
from dockgate.shared.errors import UsageError

AWS = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "very secret",
    "AWS_CA_BUNDLE": "/etc/ca.pem",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "REGISTRY_HTTP_ADDR": "0.0.0.0:1",
    "DOCKGATE_TOKEN": "dgt",
}


def test_credentials_of_s3_come_from_the_environment_alone(tmp_path: Path) -> None:
    s3 = registry_service.make_s3_storage("s3://images/our/prefix/", AWS)
    assert s3.parameters == {
        "bucket": "images",
        "region": "eu-west-1",
        "rootdirectory": "/our/prefix",
        "regionendpoint": "http://127.0.0.1:9",
    }
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] == "very secret"
    assert s3.environment["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert not s3.environment.keys() & {"AWS_CA_BUNDLE", "REGISTRY_HTTP_ADDR", "DOCKGATE_TOKEN"}
    endpoint = registry_service.Endpoint("registry", "127.0.0.1", find_free_port(), "http://127.0.0.1:9/token")
    registry_service.make_registry(tmp_path, endpoint, b"", "http://127.0.0.1:9/", "secret", s3=s3)
    for file in (tmp_path / "run").iterdir():
        assert "very secret" not in file.read_text()
        assert file.stat().st_mode & 0o077 == 0
    storage = json.loads((tmp_path / "run" / "registry.json").read_text())["storage"]
    assert storage == {"s3": s3.parameters, "redirect": {"disable": True}, "delete": {"enabled": True}}


@pytest.mark.parametrize(("location", "environment"), [("s3://B", AWS), ("/folder", AWS), ("s3://images", {})])
def test_an_unusable_location_in_s3_is_refused(location: str, environment: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        registry_service.make_s3_storage(location, environment)
