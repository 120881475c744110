"""The server's signing key: made once, kept to itself, replaced on demand."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dockgate.attestations.dsse import sign_payload, verify_envelope
from dockgate.attestations.keys import Keys
from dockgate.shared.errors import DeniedError, UnavailableError, UsageError
from dockgate.shared.folder_mark import require_mark


def test_the_key_is_made_when_it_is_first_needed_and_then_stays(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    assert not (tmp_path / "keys").exists()
    first = keys.get_signer().public.id
    assert Keys(tmp_path / "keys").get_signer().public.id == first
    assert [(key.id, key.is_current) for key in keys.list_keys()] == [(first, True)]


def test_only_the_owner_can_read_the_signing_key(tmp_path: Path) -> None:
    Keys(tmp_path / "keys").get_signer()
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_a_new_key_signs_from_now_on_and_the_old_one_stays_listed(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    old = keys.get_signer()
    new = keys.rotate()
    assert [(key.id, key.is_current) for key in keys.list_keys()] == [(new.public.id, True), (old.public.id, False)]
    with pytest.raises(DeniedError):
        verify_envelope(sign_payload(b"{}", keys.get_signer()), [old.public])
    private = b"".join(path.read_bytes() for path in tmp_path.iterdir()).count(b"PRIVATE KEY-----\nMIG")
    assert private == 1, "the old private half is gone"


def test_an_invalid_signing_key_stops_signing(tmp_path: Path) -> None:
    (tmp_path / "attestation.pem").write_text("nonsense")
    with pytest.raises(UsageError, match="cannot be read"):
        Keys(tmp_path).get_signer()


def test_an_unusable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be used"):
        Keys(tmp_path / "file" / "keys").get_signer()


def test_no_key_is_made_in_a_folder_that_is_not_the_right_one(tmp_path: Path) -> None:
    """As in a mount point without its mount: verifiers would refuse what the new key signs."""
    mount_point = tmp_path / "shared"
    keys = Keys(mount_point / "keys", partial(require_mark, mount_point, "store"))
    calls: list[Callable[[], object]] = [keys.get_signer, keys.rotate, keys.list_keys]
    for call in calls:
        with pytest.raises(UnavailableError, match="does not contain the files"):
            call()
    assert not mount_point.exists()
    (mount_point / "run").mkdir(parents=True)
    (mount_point / "run" / "store").write_text("store\n")
    first = keys.get_signer().public.id
    mount_point.rename(tmp_path / "unmounted")
    with pytest.raises(UnavailableError):
        keys.get_signer()
    (tmp_path / "unmounted").rename(mount_point)
    assert keys.get_signer().public.id == first
