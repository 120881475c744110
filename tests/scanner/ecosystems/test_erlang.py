"""Reading Erlang's applications and of Mix' and rebar3's lockfiles, and how Hex packages' versions compare."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.layers import (
    DEBIAN,
    make_dpkg_list,
    make_file,
    make_image,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_image,
)

from dockgate.scanner.ecosystems.dpkg import ECOSYSTEM as DPKG
from dockgate.scanner.ecosystems.erlang import APPLICATION_LIMIT, ECOSYSTEM, LOCK_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "erlang"
LIB = "app/lib/cowlib-1.3.0"
PATH = f"{LIB}/ebin/cowlib.app"
COWLIB, MIX, REBAR = ((DATA / name).read_bytes() for name in ("cowlib.app", "mix.lock", "rebar.lock"))
OTP = "repository_url=https:%2F%2Fgithub.com%2Ferlang%2Fotp"
ELIXIR = "repository_url=https:%2F%2Fgithub.com%2Felixir-lang%2Felixir"


def read(content: str | bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def pack_members(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def list_purls(extract: Extract) -> list[str]:
    return [package.purl for package in extract.packages]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("opt/rabbitmq/plugins/cowboy-2.12.0/ebin/cowboy.app", True),
        ("app/_build/prod/lib/jason/ebin/jason.app", True),
        ("ebin/jason.app", True),
        ("app/lib/jason-1.4.4/ebin", True),
        ("app/lib/jason-1.4.4/ebin/Elixir.Jason.beam", False),
        ("app/src/jason.app.src", False),
        ("Applications/Some.app", False),
        ("app/mix.lock", True),
        ("mix.lock", True),
        ("app/rebar.lock", True),
        ("app/deps/jason/mix.lock", False),
        ("deps/jason/rebar.lock", False),
        ("app/my-mix.lock", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


@pytest.mark.parametrize(
    ("path", "head", "is_wanted"),
    [
        ("plugins/rabbitmq_delayed_message_exchange-4.0.2.ez", b"PK\3\4", True),
        ("plugins/link.ez", b"", True),
        ("usr/local/bin/rebar3", b"#!/usr/bin/env escript\n%% Rebar3 3.24.0\n", True),
        ("usr/local/bin/own", b"#! /usr/bin/env escript\n%% \n", True),
        ("usr/local/bin/own", b"#!/bin/sh\nescript $0.escript\n", False),
        ("usr/local/bin/own", b"PK\3\4 escript", False),
    ],
)
def test_only_archives_of_the_ecosystem_are_read(path: str, head: bytes, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o755, head) is is_wanted


@pytest.mark.parametrize(
    ("path", "inner"),
    [("plugins/cowlib-1.3.0.ez", "cowlib-1.3.0/ebin/cowlib.app"), ("usr/bin/own", "cowlib/ebin/cowlib.app")],
)
def test_an_archive_holds_applications(path: str, inner: str) -> None:
    extract = read((DATA / path.rpartition("/")[2]).read_bytes(), path)
    assert [(package.purl, package.path) for package in extract.packages] == [
        ("pkg:hex/cowlib@1.3.0", f"{path}!/{inner}")
    ]
    assert extract.is_self_contained
    assert not extract.owns


def test_broken_application_in_an_archive_is_unread() -> None:
    complete, broken_path = "a/ebin/a.app", "b-1/ebin/b.app"
    members = {complete: b'{application,a,[{vsn,"1"}]}.', broken_path: b"{", "a/priv/ebin.app": b"", "c.app": b""}
    extract = read(pack_members(members), "plugins/a.ez")
    assert [package.path for package in extract.packages] == [f"plugins/a.ez!/{complete}"]
    assert extract.unread_parts == ((broken_path, "its brackets do not match"),)


def test_escript_of_source_is_ignored_and_broken_plugin_is_unreadable() -> None:
    assert read("#!/usr/bin/env escript\nmain(_) -> ok.\n", "bin/own") == Extract()
    with pytest.raises(UnreadableError, match="not a complete zip archive"):
        read("#!/usr/bin/env escript\n", "plugins/own.ez")
    with pytest.raises(UnreadableError, match="no more than 2000"):
        read(pack_members({f"a{at}/ebin/a.app": b"" for at in range(2001)}), "plugins/own.ez")


@pytest.mark.parametrize(("name", "version"), [("cowlib", "1.3.0"), ("makeup", "1.2.1")])
def test_an_application_owns_its_folder(name: str, version: str) -> None:
    extract = read((DATA / f"{name}.app").read_bytes(), f"app/lib/{name}/ebin/{name}.app")
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem) == (name, version, "Hex")
    assert (package.source_name, package.source_version) == (name, version)
    assert package.purl == f"pkg:hex/{name}@{version}"
    assert extract.owns == {package.purl: (f"app/lib/{name}/ebin/",)}
    assert not extract.is_lockfile


def test_applications_of_otp_and_elixir_are_no_packages_of_hex() -> None:
    extract = read((DATA / "ssh.app").read_bytes(), "usr/local/lib/erlang/lib/ssh-5.2.11.1/ebin/ssh.app")
    (package,) = extract.packages
    assert (package.ecosystem, package.purl) == ("Erlang/OTP", f"pkg:otp/ssh@5.2.11.1?{OTP}")
    (package,) = read('{application,mix,[{vsn,"1.18.3"}]}.', "usr/local/lib/elixir/lib/mix/ebin/mix.app").packages
    assert (package.ecosystem, package.purl) == ("Erlang/OTP", f"pkg:otp/mix@1.18.3?{ELIXIR}")


@pytest.mark.parametrize(
    "content",
    [
        '{application,cowlib,[{vsn,"1.0.0"}]}.',
        "%% %CopyrightBegin%\n{ application , 'cowlib' ,\n [ {vsn, \"1.0.0\"} %% }]\n ] } . \n%",
        '{application,cowlib,[{description,"a \\" }]}. {vsn,\\"9.9.9\\"}"},{vsn,"1.0.0"},{env,[{vsn,"2.0.0"}]}]}.',
        '{application,cowlib,[{env,[{a,$"},{b,<<"x">>},{c,\'}\'},{d,#{e => 1.5}}]},{vsn,"1.0.0"},{vsn,"1.0.0"}]}.',
    ],
)
def test_every_way_to_write_an_application_is_read(content: str) -> None:
    """OTP's file:consult reads each of them so."""
    assert list_purls(read(content)) == ["pkg:hex/cowlib@1.0.0"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is not an Erlang term {application,cowlib"),
        ('{application,cowlib,[{vsn,"1.0.0"}]}', "it is not an Erlang term"),
        ('{application,cowlib,[{vsn,"1.0.0"}]}. {more}.', "it is not an Erlang term"),
        ('{application,cowboy,[{vsn,"1.0.0"}]}.', "it is not an Erlang term"),
        ('{application,cowlib,[{vsn,"1.0.0"}]', "its brackets do not match"),
        ('{application,cowlib,[{vsn,"1.0.0"]}}.', "its brackets do not match"),
        ("]", "its brackets do not match"),
        ("{application,cowlib,[]}.", r"it has no version \(vsn\)"),
        ("{application,cowlib,[{vsn,git}]}.", r"its version \(vsn\) is not a plain string"),
        ("{application,cowlib,[{vsn}]}.", r"its version \(vsn\) is not a plain string"),
        ('{application,cowlib,[{vsn,""}]}.', r"its version \(vsn\) is not a plain string"),
        ('{application,cowlib,[{vsn,"1.0" ".0"}]}.', r"its version \(vsn\) is not a plain string"),
        ('{application,cowlib,[{vsn,"1.\\x30.0"}]}.', r"its version \(vsn\) is not a plain string"),
        ('{application,cowlib,[{vsn,{cmd,"git"}}]}.', r"its version \(vsn\) is not a plain string"),
        ('{application,cowlib,[{vsn,"1.0.0"},{vsn,"2.0.0"}]}.', r"its version \(vsn\) is not a plain string"),
        ('{application,cowlib,[{vsn,"1.0.0}]}.', "a string in it has no end"),
        ('{application,cowlib,[{vsn,"1.0.0"},{a,\'b}]}.', "a string in it has no end"),
        (b" " * (APPLICATION_LIMIT + 1), f"no more than {APPLICATION_LIMIT}"),
    ],
)
def test_application_without_version_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_deep_nesting_is_read() -> None:
    deep = "[" * 30_000 + "]" * 30_000
    with pytest.raises(UnreadableError, match=r"its version \(vsn\) is not a plain string"):
        read(f"{{application,cowlib,[{{vsn,{deep}}},{{vsn,{deep}}}]}}.")
    assert list_purls(read(f'{{application,cowlib,[{{vsn,"1.0.0"}},{{env,{deep}}}]}}.')) == ["pkg:hex/cowlib@1.0.0"]


def test_mix_locks_packages_under_other_names_and_of_organizations() -> None:
    extract = read(MIX, "app/mix.lock")
    assert list_purls(extract) == [
        "pkg:hex/forked",
        "pkg:hex/mime@2.0.6",
        "pkg:hex/old@0.1.0",
        "pkg:hex/plug@1.14.0",
        "pkg:hex/acme/secrets@0.3.0-rc.1",
        "pkg:hex/telemetry@1.3.0",
        "pkg:hex/uuid_erl@2.0.7",
    ]
    assert (extract.is_lockfile, extract.owns) == (True, {})
    assert [package.source_name for package in extract.packages if "/" in package.source_name] == ["acme/secrets"]


def test_an_older_mix_lock_is_read() -> None:
    content = '%{"cowboy": {:hex, :cowboy, "1.0.0"},\n  plug: {:hex, :plug, "1.0.1"},\n  "x": {:path, "x"}}\n'
    assert list_purls(read(content, "mix.lock")) == ["pkg:hex/cowboy@1.0.0", "pkg:hex/plug@1.0.1"]
    assert read("%{\n}\n# a\n", "mix.lock") == Extract(is_lockfile=True)


def test_rebar_locks_packages_under_other_names() -> None:
    extract = read(REBAR, "app/rebar.lock")
    assert list_purls(extract) == ["pkg:hex/cowlib@2.13.0", "pkg:hex/uuid_erl@2.0.7", "pkg:hex/forked"]
    assert extract.is_lockfile
    assert read("[].\n", "rebar.lock") == Extract(is_lockfile=True)


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        ('%{\n  "a": {:hex, :a}\n}', "mix.lock", "line 2 is not in Mix|line 2 has no package"),
        ('%{\n  "a": {:hex, :a, 1.0}\n}', "mix.lock", "line 2 has no package and version"),
        ('%{\n<<<<<<< HEAD\n  "a": {:hex, :a, "1.0.0"}\n}', "mix.lock", "line 2 is not in Mix.s format"),
        ('%{\n  "a":\n    {:hex, :a, "1.0.0"}\n}', "mix.lock", "line 2 is not in Mix.s format"),
        (b" " * (LOCK_LIMIT + 1), "mix.lock", f"no more than {LOCK_LIMIT}"),
        ("", "rebar.lock", "its format is not that of rebar3"),
        ('{"1.2.0",[{<<"a">>,{pkg,<<"a">>,Version},0}]}.', "rebar.lock", "its format is not that of rebar3"),
    ],
)
def test_a_lockfile_that_hides_a_package_is_unreadable(content: str | bytes, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("hex", "", "Phoenix_HTML", "2.13.3"), None)
    assert (package.source_name, package.ecosystem) == ("phoenix_html", "Hex")
    assert package.purl == "pkg:hex/phoenix_html@2.13.3"
    assert ECOSYSTEM.build_from_purl(Purl("hex", "Acme", "foo", "2.3.0"), None).source_name == "acme/foo"
    package = ECOSYSTEM.build_from_purl(
        Purl("otp", "", "ssh", "5.2.9", {"repository_url": "https://github.com/erlang/otp"}), None
    )
    assert (package.ecosystem, package.purl) == ("Erlang/OTP", f"pkg:otp/ssh@5.2.9?{OTP}")
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("hex", "", "plug"), None)


def test_package_owned_by_dpkg_belongs_to_the_distribution() -> None:
    path = "usr/lib/erlang/lib/cowlib-1.3.0/ebin/cowlib.app"
    database = make_status(make_stanza("erlang-cowlib", "1.3.0-3"))
    base = [
        make_file("etc/os-release", DEBIAN),
        database,
        make_file(path, COWLIB),
        make_dpkg_list("erlang-cowlib", path),
    ]
    inventory = read_image(make_image(base), [DPKG, ECOSYSTEM])
    assert {package.name: package.owner for package in inventory.packages} == {
        "erlang-cowlib": None,
        "cowlib": "erlang-cowlib",
    }


def join_reasons(*layers: object) -> str:
    return "".join(entry.reason for entry in read_image(make_image(*layers), [ECOSYSTEM]).unread)  # type: ignore[arg-type]


def test_removed_or_edited_application_with_code_left_is_unread() -> None:
    base = [make_file("etc/os-release", DEBIAN), make_file(PATH, COWLIB), make_file(f"{LIB}/ebin/cow_http.beam")]
    assert f"{PATH} no longer lists cowlib 1.3.0" in join_reasons(base, make_whiteouts(PATH))
    edited_file = make_file(PATH, COWLIB.replace(b"1.3.0", b"9.9.9"))
    assert f"{PATH} became cowlib 9.9.9" in join_reasons(base, [edited_file])
    assert "cowlib" not in join_reasons(base, [edited_file, base[2]])
    assert "which was not read" in join_reasons([*base, make_symlink("app/lib/plug-1.0/ebin", "/opt/plug")])


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([COWLIB, MIX, REBAR]),
    cut=st.integers(0, 1200),
    splice=st.binary(max_size=12) | st.sampled_from([b'{vsn,"', b"}]}.", b'": {:hex, ', b"{pkg,<<", b'"', b"'", b"%"]),
    path=st.sampled_from([PATH, "mix.lock", "rebar.lock"]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, path: str) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], path)
        assert all(package.name and (package.version or extract.is_lockfile) for package in extract.packages)
