"""What the environment sets."""

from pathlib import Path

import pytest

from dockgate import config
from dockgate.shared.errors import UsageError


def test_settings_have_defaults() -> None:
    settings = config.from_environment({"HOME": "/home/ada"})
    assert settings.server == "http://127.0.0.1:7420"
    assert (settings.port, settings.registry_port) == (7420, 7421)
    assert (settings.token, settings.database_url, settings.ca_bundle, settings.feeds) == (None, None, None, ())
    assert settings.data in (Path("/var/lib/dockgate"), Path("/home/ada/.local/share/dockgate"))


def test_each_variable_is_used() -> None:
    settings = config.from_environment(
        {
            "DOCKGATE_DATA": "/data",
            "DOCKGATE_CACHE": "/cache",
            "DOCKGATE_SERVER": "https://gate.test/",
            "DOCKGATE_TOKEN": "t",
            "DOCKGATE_HOST": "::1",
            "DOCKGATE_PUBLIC_URL": "https://gate.test/",
            "DOCKGATE_TLS_CERT": "/cert.pem",
            "DOCKGATE_TLS_KEY": "/key.pem",
            "DOCKGATE_TRUSTED_PROXIES": "10.0.0.5, 10.1.0.0/16",
            "DOCKGATE_PORT": "1",
            "DOCKGATE_REGISTRY_PORT": "2",
            "DOCKGATE_DATABASE_URL": "postgresql://db",
            "DOCKGATE_CA_BUNDLE": "/ca.pem",
            "DOCKGATE_RISK_DAYS": "0.5",
            "DOCKGATE_KEEP_DAYS": "30",
            "DOCKGATE_REGISTRIES": "quay.io *.example.org",
            "DOCKGATE_FEED_OSV": "https://osv.test/x/",
            "DOCKGATE_FEED_KEV": "https://kev.test/kev.json",
        }
    )
    assert settings == config.Settings(
        data=Path("/data"),
        cache=Path("/cache"),
        server="https://gate.test",
        token="t",
        host="::1",
        public_url="https://gate.test",
        tls_cert=Path("/cert.pem"),
        tls_key=Path("/key.pem"),
        proxies=("10.0.0.5", "10.1.0.0/16"),
        port=1,
        registry_port=2,
        database_url="postgresql://db",
        ca_bundle=Path("/ca.pem"),
        risk_days=0.5,
        keep_days=30,
        registries=("quay.io", "*.example.org"),
        feeds=(("kev", "https://kev.test/kev.json"), ("osv", "https://osv.test/x")),
    )
    assert settings.advisories == Path("/data/advisories.db")


def test_an_empty_variable_counts_as_unset() -> None:
    assert config.from_environment({"DOCKGATE_PORT": "", "DOCKGATE_SERVER": ""}).port == 7420


def test_commands_call_the_server_on_the_port_that_is_set() -> None:
    assert config.from_environment({"DOCKGATE_PORT": "8080"}).server == "http://127.0.0.1:8080"
    environment = {"DOCKGATE_PORT": "8080", "DOCKGATE_SERVER": "https://gate.test"}
    assert config.from_environment(environment).server == "https://gate.test"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOCKGATE_PORT", "0"),
        ("DOCKGATE_PORT", "65536"),
        ("DOCKGATE_REGISTRY_PORT", "seven"),
        ("DOCKGATE_REGISTRY_LISTEN", "10.0.0.7"),
        ("DOCKGATE_RISK_DAYS", "-1"),
        ("DOCKGATE_KEEP_DAYS", "nan"),
        ("DOCKGATE_KEEP_DAYS", "inf"),
    ],
)
def test_a_wrong_value_is_refused_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is '{value}'"):
        config.from_environment({name: value})


@pytest.mark.parametrize(
    "url", ["gate.example.org", "ftp://gate.example.org", "https://", "https://gate/path", "https://ada:s3cret@gate"]
)
def test_a_public_url_is_scheme_and_host_alone(url: str) -> None:
    with pytest.raises(UsageError, match="DOCKGATE_PUBLIC_URL") as error:
        config.from_environment({"HOME": "/", "DOCKGATE_PUBLIC_URL": url})
    assert "s3cret" not in error.value.full_message


OIDC = {
    "DOCKGATE_OIDC_ISSUER": "https://id.example.org/realm",
    "DOCKGATE_OIDC_CLIENT_ID": "dockgate",
    "DOCKGATE_OIDC_ROLES": "platform=admin the%20team=developer cn=x,ou=y=viewer",
}


def test_an_identity_provider_is_read_with_the_roles_of_its_groups() -> None:
    oidc = config.from_environment({**OIDC, "DOCKGATE_OIDC_SCOPES": "groups"}).oidc
    assert oidc is not None
    assert oidc.issuer == "https://id.example.org/realm"
    assert oidc.roles == (("platform", "admin"), ("the team", "developer"), ("cn=x,ou=y", "viewer"))
    assert oidc.scopes == ("openid", "groups")
    assert config.from_environment({}).oidc is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOCKGATE_OIDC_ISSUER", "http://id.example.org"),
        ("DOCKGATE_OIDC_ISSUER", "id.example.org"),
        ("DOCKGATE_OIDC_ISSUER", "https://id.example.org?x=1"),
        ("DOCKGATE_OIDC_CLIENT_ID", ""),
        ("DOCKGATE_OIDC_ROLES", ""),
        ("DOCKGATE_OIDC_ROLES", "platform"),
        ("DOCKGATE_OIDC_ROLES", "=admin"),
        ("DOCKGATE_OIDC_ROLES", "platform="),
    ],
)
def test_an_incomplete_identity_provider_is_refused_by_the_variable(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        config.from_environment({**OIDC, name: value})


def test_the_clients_secret_is_set_once() -> None:
    both = {"DOCKGATE_OIDC_CLIENT_SECRET": "s3cr3t", "DOCKGATE_OIDC_CLIENT_SECRET_FILE": "/x"}
    with pytest.raises(UsageError, match="both set") as error_info:
        config.from_environment({**OIDC, **both})
    assert "s3cr3t" not in error_info.value.full_message
