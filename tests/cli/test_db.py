"""`dockgate db`: building and describing the advisory database."""

import json
import zipfile
from pathlib import Path

import pytest
from tests.cli import layouts
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.docker_registry import run_registry

from dockgate.attestations.dsse import Signer, create_key, sign_payload
from dockgate.attestations.keys import Keys
from dockgate.services.feeds.advisories import PAYLOAD_TYPE


def test_build_lists_each_feed_and_missing_parts(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds")))
    assert (result.code, result.err) == (0, "")
    assert "osv Debian: 2 statements" in result.out
    assert "osv PyPI: 1 statement\n" in result.out
    assert "no epss.csv.gz" in result.out
    assert str(tmp_path / "data" / "advisories.db") in result.out


def test_status_shows_age_feeds_and_coverage(dockgate: Dockgate, tmp_path: Path) -> None:
    dockgate(
        "db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds")), "--database", str(tmp_path / "a.db")
    )
    output = dockgate("db", "status", "--database", str(tmp_path / "a.db")).out
    assert "osv Debian" in output
    assert "ago" in output or "just now" in output
    assert any(line.startswith("Debian:13") and "all packages" in line for line in output.splitlines())
    document = json.loads(dockgate("db", "status", "--database", str(tmp_path / "a.db"), "-o", "json").out)
    assert [coverage_entry["ecosystem"] for coverage_entry in document["coverage"]] == ["Debian:13", "PyPI"]
    assert document["path"] == str(tmp_path / "a.db")


def test_unreadable_records_are_listed(dockgate: Dockgate, tmp_path: Path) -> None:
    folder = layouts.write_feeds(tmp_path / "feeds")
    with zipfile.ZipFile(folder / "osv/PyPI/all.zip", "a") as archive:
        archive.writestr("BROKEN-1.json", "{")
    output = dockgate("db", "build", "--from", str(folder)).out
    assert "1 unreadable" in output
    assert "BROKEN-1" in output


def test_without_a_database_the_error_names_the_commands_that_create_one(dockgate: Dockgate) -> None:
    result = dockgate("db", "status")
    assert (result.code, result.out) == (2, "")
    assert "dockgate db update" in result.err


def test_a_folder_without_feeds_is_refused(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("db", "build", "--from", str(tmp_path))
    assert result.code == 2
    assert "has no advisories" in result.err
    assert dockgate("db", "build", "--from", str(tmp_path / "nowhere")).code == 2


def test_an_update_whose_feeds_fail_exits_2_and_says_which(
    dockgate: Dockgate, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for feed in ("AMAZON", "CVSS", "EPSS", "KEV", "OSV"):
        monkeypatch.setenv(f"DOCKGATE_FEED_{feed}", f"{server.url}/{feed}")
    result = dockgate("db", "update")
    assert result.code == 2
    assert result.out.count("it answered 404 Not Found") == 1
    assert f"no cached copy: it answered 404 Not Found ({server.url.removeprefix('http://')})" in result.out
    assert "osv Debian" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 80
    assert "DOCKGATE_FEED_OSV" in result.err
    assert "/OSV/Debian/all.zip" in [request.path for request in server.requests]


def test_an_update_downloads_the_feeds(
    dockgate: Dockgate, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = layouts.write_feeds(tmp_path / "feeds")
    for feed in ("AMAZON", "EPSS", "KEV", "OSV"):
        monkeypatch.setenv(f"DOCKGATE_FEED_{feed}", f"{server.url}/{feed}")
    for ecosystem in ("Debian", "PyPI"):
        server.answers[f"GET /OSV/{ecosystem}/all.zip"] = (folder / "osv" / ecosystem / "all.zip").read_bytes()
    result = dockgate("db", "update")
    assert "osv PyPI: 1 statement\n" in result.out
    assert "osv npm" in " ".join(result.out.split())
    assert "optional feed cvss: skipped" in result.out
    assert result.code == 2
    assert "Debian:13" in dockgate("db", "status").out


def test_a_failed_feed_is_reported_as_failed_only(
    dockgate: Dockgate, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = layouts.write_feeds(tmp_path / "feeds")
    for feed in ("AMAZON", "EPSS", "KEV", "OSV"):
        monkeypatch.setenv(f"DOCKGATE_FEED_{feed}", f"{server.url}/{feed}")
    export = "GET /OSV/PyPI/all.zip"
    server.answers[export] = (folder / "osv/PyPI/all.zip").read_bytes()
    dockgate("db", "update")
    del server.answers[export]
    outputs = [line for line in dockgate("db", "update").out.splitlines() if "osv PyPI" in line]
    assert len(outputs) == 1
    assert outputs[0].startswith("osv PyPI: failed, using the cached copy")
    server.answers[export] = b"rubbish"
    advice = " ".join(dockgate("db", "update").err.split())
    assert "Check the network and DOCKGATE_FEED_AMAZON DOCKGATE_FEED_EPSS DOCKGATE_FEED_KEV" in advice


def test_a_network_error_is_reported_once(
    dockgate: Dockgate, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for feed in ("AMAZON", "EPSS", "KEV", "OSV"):
        monkeypatch.setenv(f"DOCKGATE_FEED_{feed}", f"http://127.0.0.1:{unused_port}/{feed}")
    result = dockgate("db", "update")
    assert result.code == 2
    assert result.out.count("Connection refused") == 1
    assert "feeds failed: see above" in result.err
    assert result.err.count("Connection refused") == 0


def test_an_export_is_imported_with_its_age(dockgate: Dockgate, tmp_path: Path) -> None:
    dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds")))
    file, other_file = str(tmp_path / "advisories.zst"), str(tmp_path / "other.db")
    export = dockgate("db", "export", file, "-o", "json")
    assert export.code == 0
    import_result = dockgate(
        "db", "import", file, "--database", other_file, "--key", write_exporter_key(dockgate, tmp_path)
    )
    assert import_result.code == 0
    assert json.loads(export.out)["digest"] in import_result.out
    outputs = [
        json.loads(dockgate("db", "status", "-o", "json", *options).out) for options in ((), ("--database", other_file))
    ]
    assert [entry.pop("path") for entry in outputs] == [str(tmp_path / "data/advisories.db"), other_file]
    assert outputs[0] == outputs[1]


def test_a_file_that_is_not_an_export_is_refused(dockgate: Dockgate, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_bytes(b"nonsense")
    result = dockgate("db", "import", str(tmp_path / "nonsense"), "--digest", "sha256:" + "0" * 64)
    assert result.code == 2
    assert "cannot be imported" in result.err
    assert dockgate("db", "export", str(tmp_path / "out")).code == 2
    assert not (tmp_path / "data" / "keys").exists()  # nothing was there to sign


def write_exporter_key(dockgate: Dockgate, folder: Path) -> str:
    """A file with the public key that signs the exports of this machine."""
    key = dockgate("db", "key")
    assert key.code == 0
    (folder / "exporter.pub").write_text(key.out)
    return str(folder / "exporter.pub")


def test_no_key_is_made_in_a_shared_folder_that_is_not_mounted(
    dockgate: Dockgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = str(tmp_path / "advisories.db")
    dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds")), "--database", database)
    mount_point = tmp_path / "shared"
    mount_point.mkdir()
    monkeypatch.setenv("DOCKGATE_SHARED", str(mount_point))
    for arguments in (["key"], ["export", str(tmp_path / "out"), "--database", database]):
        result = dockgate("db", *arguments)
        assert (result.code, "does not contain the files" in result.err, result.out) == (2, True, "")
    assert list(mount_point.iterdir()) == []
    (mount_point / "run").mkdir()
    (mount_point / "run" / "store").write_text("id")
    assert dockgate("db", "key").code == 0


def test_an_import_requires_the_exporters_key_or_the_digest(dockgate: Dockgate, tmp_path: Path) -> None:
    dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds")))
    file, other_file = str(tmp_path / "advisories.zst"), str(tmp_path / "other.db")
    export = json.loads(dockgate("db", "export", file, "-o", "json").out)
    key = write_exporter_key(dockgate, tmp_path)
    stranger, attestation = tmp_path / "stranger.pub", tmp_path / "attestation.zst"
    signer = Signer(create_key())
    stranger.write_text(signer.public.pem)

    def bring(*options: str, source: str = file) -> tuple[int, str]:
        result = dockgate("db", "import", source, "--database", other_file, *options)
        return result.code, result.err

    def replace_signature(envelope: bytes) -> str:
        """The export with another signature beside it, or with none."""
        data = (tmp_path / "advisories.zst").read_bytes()
        frames = []
        for _ in range(2):
            size = 8 + int.from_bytes(data[4:8], "little")
            frames.append(data[:size])
            data = data[size:]
        signature_frame = frames[1][:4] + len(envelope).to_bytes(4, "little") + envelope if envelope else b""
        attestation.write_bytes(frames[0] + signature_frame + data)
        return str(attestation)

    refusal = bring()
    assert (refusal[0], "--key FILE or --digest" in refusal[1]) == (2, True)
    wrong = {
        "is not valid": (file, ["--key", str(stranger)]),
        "not the expected": (file, ["--digest", "sha256:" + "0" * 64]),
        "is not a digest": (file, ["--digest", export["content"].upper()]),
        "cannot be read": (file, ["--key", str(tmp_path / "none.pub")]),
        "not a public key": (file, ["--key", file]),
        "is not signed": (replace_signature(b""), ["--key", key]),
    }
    for expected, (source, options) in wrong.items():
        code, outputs = bring(*options, source=source)
        assert (code, expected in outputs) == (2, True), outputs
    own_signer = Keys(tmp_path / "data" / "keys").get_signer()
    for envelope in (sign_payload(b"{}", own_signer), sign_payload(b"{}", own_signer, PAYLOAD_TYPE), b"nonsense"):
        code, outputs = bring("--key", key, source=replace_signature(envelope))
        assert (code, "signature" in outputs) == (2, True), outputs
    assert bring("--key", key, "--digest", "sha256:" + "0" * 64)[0] == 2  # where both are given, both hold
    assert not Path(other_file).exists()
    for options in (["--key", key], ["--digest", export["content"]], ["--key", key, "--digest", export["content"]]):
        assert bring(*options) == (0, ""), options
    assert bring("--digest", export["content"], source=replace_signature(b"")) == (0, "")


def test_a_source_that_is_neither_file_nor_reference_is_an_error(dockgate: Dockgate) -> None:
    digest = ("--digest", "sha256:" + "0" * 64)
    assert "not a repository name" in dockgate("db", "import", "oci:///", *digest).err
    assert dockgate("db", "import", "./nowhere.zst", *digest).code == 2
    result = dockgate("db", "import", "nowhere.zst")
    assert result.code == 2
    assert "there is no file nowhere.zst" in result.err


@pytest.mark.real
def test_a_database_is_exported_and_imported_through_a_registry(
    dockgate: Dockgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds")))
    image = layouts.write_image(tmp_path / "image", layouts.make_debian_files(openssl="3.5.1-1"))
    before = dockgate("scan", image, "-o", "json").out
    assert "CVE-2025-0001" in before
    with run_registry(tmp_path / "registry") as running:
        reference = f"{running.address}/security/advisories:today"
        for _ in range(2):
            assert dockgate("db", "export", f"oci:{reference}").code == 0
        export = json.loads(dockgate("db", "export", f"oci:{reference}", "-o", "json").out)
        key = ("--key", write_exporter_key(dockgate, tmp_path))
        monkeypatch.setenv("DOCKGATE_DATA", str(tmp_path / "empty"))
        monkeypatch.setenv("DOCKGATE_CACHE", str(tmp_path / "empty-cache"))
        assert dockgate("scan", image).code == 2
        assert dockgate("db", "import", reference).code == 2
        import_result = dockgate("db", "import", reference, *key)
        assert (import_result.code, import_result.err) == (0, "")
        assert reference in import_result.out
        pinned_reference = f"{reference.rpartition(':')[0]}@{export['manifest']}"
        assert dockgate("db", "import", f"oci:{pinned_reference}").code == 0
        assert dockgate("db", "import", f"oci:{reference.rpartition(':')[0]}@sha256:{'0' * 64}").code == 2
        assert dockgate("db", "import", f"{running.address}/security/advisories:other", *key).code == 2
    assert dockgate("scan", image, "-o", "json").out == before
