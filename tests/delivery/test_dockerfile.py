"""Which images a Dockerfile names."""

import time
from collections.abc import Mapping

import pytest

from dockgate.delivery.dockerfile import find_base_images
from dockgate.shared.errors import BuildError


@pytest.mark.parametrize(
    ("text", "arguments", "images"),
    [
        ("FROM scratch\n", {}, []),
        ("FROM debian:13\n", {}, ["debian:13"]),
        ("from debian as Base\nfrom Base\n", {}, ["debian"]),
        ("# FROM comment\n\nFROM a\nFROM a\nFROM b\n", {}, ["a", "b"]),
        ("ARG BASE=debian:13\nFROM ${BASE}\n", {}, ["debian:13"]),
        ("ARG BASE=debian:13\nFROM $BASE\n", {"BASE": "debian:12"}, ["debian:12"]),
        ("ARG BASE\nFROM ${BASE:-debian}\n", {}, ["debian"]),
        ("ARG BASE=\nFROM ${BASE:-debian}\n", {}, ["debian"]),
        ("ARG SLIM=1\nFROM debian${SLIM:+-slim}\n", {}, ["debian-slim"]),
        ("ARG A=x B=${A}/y\nFROM $B\n", {}, ["x/y"]),
        ("FROM a\nARG BASE=inner\nFROM ${BASE:-outer}\n", {}, ["a", "outer"]),
        ('ARG BASE="debian:13"\nFROM "$BASE"\n', {}, ["debian:13"]),
        ("FROM --platform=$BUILDPLATFORM golang AS build\nFROM scratch\n", {}, ["golang"]),
        ("FROM \\\n  # a comment between\n  debian:13\n", {}, ["debian:13"]),
        ("# escape=`\nFROM `\n debian:13\n", {}, ["debian:13"]),
        ("FROM a\nFROM c\nCOPY --from=b --chown=1 /x /\nCOPY --from=0 /y /\n", {}, ["a", "c", "b"]),
        ('ARG A="x B=b"\nFROM ${B:-a}\n', {}, ["a"]),
        ("FROM\ta\nCOPY\t--from=b /x /\n", {}, ["a", "b"]),
        ("\ufeffFROM a\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ('FROM a\nRUN echo "<<EOF"\nCOPY --from=b /x /\n', {}, ["a", "b"]),
        ("FROM a\nRUN bash -c 'cat <<EOF'\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nRUN cat <<<EOF\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nRUN echo $((1<<n))\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nRUN echo \\<<EOF\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nRUN cat 3<<EOF\nCOPY --from=c /x /\nEOF\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ('FROM a\nRUN --mount=type=bind,"from=b",target=/t /t/run\n', {}, ["a", "b"]),
        ("FROM a\nRUN --mount=type=bind,FROM=b,target=/t /t/run\n", {}, ["a", "b"]),
        ("FROM a\nRUN echo it's\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nRUN echo \x85\u2028\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a AS build\nFROM b\nCOPY --from=build /x /\n", {}, ["a", "b"]),
        ("FROM a AS self\nCOPY --from=self /x /\n", {}, ["a", "self"]),
        ("FROM a\nFROM a\nCOPY --from=00 /x /\n", {}, ["a", "00"]),
        ("FROM a\nCOPY --fr\\\nom=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nCOPY --fr\\\n# a comment\n\nom=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nFR\\\nOM b\n", {}, ["a", "b"]),
        ("FROM a\nRUN --mou\\\nnt=type=bind,from=b,target=/t /t/run\n", {}, ["a", "b"]),
        ('FROM a\nCOPY --fr"o"m=b /x /\n', {}, ["a", "b"]),
        ('FROM a\nCOPY --chown="0 " --from=b /x /\n', {}, ["a", "b"]),
        ("FROM a\nRUN --mount=type=cache,id=c-${TARGETARCH},from=b,target=/c true\n", {}, ["a", "b"]),
        ("FROM a\nCOPY --chown=$USER:0 --keep-git-dir --from=b /x /\n", {}, ["a", "b"]),
        ('FROM a\nRUN --mount="type=bind,target=/t,from=b" /t/run\n', {}, ["a", "b"]),
        ('FROM a\nRUN --mount=type=bind,"target=/t,from=b" /t/run\n', {}, ["a", "b"]),
        ('FROM a\nRUN --mount=type=bind,target=/t,fr"om"=b /t/run\n', {}, ["a", "b"]),
        ('FROM a\nRUN --mount=type=tmpfs,target="/t 1" --mount=type=bind,from=b,target=/u /u/run\n', {}, ["a", "b"]),
        ("FROM a\nRUN -- --mount=type=bind,from=b,target=/t\n", {}, ["a"]),
        ("FROM a\nRUN cat <<EOF >$HOME/${NAME}\nCOPY --from=c /x /\nEOF\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nRUN echo ${X:-1} $((1<<2)) caf\u00e9\u00a0\nCOPY --from=b /x /\n", {}, ["a", "b"]),
        ("FROM a\nARG TITLE=caf\u00e9\n", {}, ["a"]),
        ("FROM a\nRUN --mount=type=bind,from=tools,target=/t /t/run\n", {}, ["a", "tools"]),
        ("FROM a\nRUN echo --from=b && cp --from=c d e\n", {}, ["a"]),
        ("FROM a\nRUN <<END\nFROM b\nEND\nFROM c\n", {}, ["a", "c"]),
        ("FROM a\nRUN <<-'ONE' cat <<TWO\nFROM b\n\tONE\nFROM d\nTWO\nFROM c\n", {}, ["a", "c"]),
        ("FROM a@sha256:" + "0" * 64 + "\n", {}, ["a@sha256:" + "0" * 64]),
        ("FROM host:5000/team/app:1\r\nFROM b\r\n", {}, ["host:5000/team/app:1", "b"]),
    ],
)
def test_images_are_those_of_from_and_copy_that_are_no_stage(
    text: str, arguments: Mapping[str, str], images: list[str]
) -> None:
    assert list(find_base_images(text, arguments).images) == images


@pytest.mark.parametrize(
    "line",
    [
        "FROM $UNKNOWN",
        "FROM",
        "FROM oci-archive:/etc/shadow",
        "FROM dir:/root",
        "FROM docker://quay.io/a",
        "FROM containers-storage:localhost/a",
        "FROM ${A${B}}",
        "FROM a\nCOPY --from=oci:/storage /x /y",
        "FROM a\nARG B=b\nCOPY --from=$B /x /y",
        f"ARG B=b\nFROM a\nCOPY --from=${{B:-{'x' * 5000}}} /x /y",
        "ARG B=b\nFROM a\nRUN --mount=type=bind,from=$B,target=/t /t/run",
        "FROM a\nRUN true\x0cCOPY --from=b /x /y",
        "FROM a\nRUN true \\\x0b\nFROM b",
        "FROM a\nRUN true\rFROM b",
        "FROM a\nRUN echo it's <<EOF\nEOF",
        'FROM a\nRUN cat <<"RUN true"\nFROM b\nRUN true',
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN echo `\nCOPY --from=b /x /y",
        "# escape=`x\nFROM a",
        "ARG A=x\\ B=b\nFROM ${B:-a}",
        "ARG A='$B'\nFROM $A",
        'ARG "A"=b\nFROM ${A:-a}',
        "ARG A=x\u00a0B=b\nFROM ${B:-a}",
        "FROM a AS b\u00a0",
        "FROM --platform=linux/amd64\u00a0b a",
        "FROM a\n\u00a0COPY --from=b /x /y",
        "FROM a\n\u00a0FROM b",
        "FROM a\nRUN true \\\n\u2003# a comment\nFROM b AS c",
        "FROM a\nRUN true \\\\\nCOPY --from=b /x /y",
        " # escape=`\nFROM a\nRUN true \\\nCOPY --from=b /x /y",
        "\n# escape=`\nFROM a\nRUN true \\\nCOPY --from=b /x /y",
        "FROM a\nCOPY --fr\\om=b /x /y",
        "FROM a\nARG A=from\nCOPY --$A=b /x /y",
        "FROM a\nCOPY --${A}from=b /x /y",
        "FROM a\nCOPY --FROM=b /x /y",
        "FROM a\nARG A=type=bind,from=b,target=/t\nRUN --mount=$A /t/run",
        "FROM a\nRUN --mount=type=bind,fr${A}om=b,target=/t /t/run",
        "FROM a\nFROM ${1:+b}$1b",
        "FROM a\nCOPY --chown=\u00e0--from=b /x /y",
        "FROM a\nCOPY --chown=0\u00a0--from=b /x /y",
        "FROM a\nRUN --mount=\"type=bind,'target=/t,from=b'\" /t/run",
        "FROM a\nCOPY --chown='0 --from=b /x /y",
        'FROM a AS "b"\nFROM a\nCOPY --from=b /x /y',
        "FROM a AS $B\nFROM a\nARG B=b\nCOPY --from=$B /x /y",
        "FROM a AS ABC\nFROM a\nCOPY --from=abc /x /y",
        "FROM a AS Base\nFROM base",
        "FROM a\nRUN true ${x:- <<CMD }\nCOPY --from=b /x /y\nCMD",
        "FROM a\nRUN true ${x!} <<CMD\nCOPY --from=b /x /y\nCMD",
        "FROM a\nRUN true\u00a0<<EOF\nFROM a AS b\nEOF\nCOPY --from=b /x /y",
        '# escape=`\nFROM a\nRUN true `" <<CMD "\nCOPY --from=b /x /y\nCMD',
        "FROM a\nONBUILD RUN <<EOF\nFROM a AS b\nEOF\nCOPY --from=b /x /y",
    ],
)
def test_a_name_that_is_no_image_of_a_registry_or_that_podman_may_read_otherwise_is_refused(line: str) -> None:
    with pytest.raises(BuildError) as error_info:
        find_base_images(f"{line}\n", {})
    assert error_info.value.advice


def test_very_many_flags_are_read_in_little_time() -> None:
    before = time.process_time()
    assert find_base_images(f"FROM a\nRUN {'--a ' * 250_000}--from=b x\n", {}).images == ("a", "b")
    assert time.process_time() - before < 3


def test_images_behind_many_stages_are_found_in_little_time() -> None:
    before = time.process_time()
    stages = "".join(f"FROM a AS s{number}\nCOPY --from=s{number - 1} / /\n" for number in range(1, 20_000))
    assert find_base_images(f"FROM a AS s0\n{stages}", {}).images == ("a",)
    assert time.process_time() - before < 3


def test_the_number_of_images_is_bounded() -> None:
    with pytest.raises(BuildError, match="names 40 images"):
        find_base_images("".join(f"FROM image-{number}\n" for number in range(40)), {})


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("FROM a\nFROM b\n", "b"),
        ("FROM a AS one\nFROM one AS two\nFROM b AS other\nFROM two\nCOPY --from=other / /\n", "a"),
        ("FROM a AS one\nFROM scratch\nCOPY --from=one / /\n", None),
        ("FROM a AS one\nFROM scratch AS none\nFROM none\n", None),
    ],
)
def test_the_base_of_the_last_stage_is_distinguished_from_the_others(text: str, last: str | None) -> None:
    assert find_base_images(text, {}).final_base == last


@pytest.mark.parametrize(
    "text",
    [
        "ARG A0=xxxxxxxxxx\n" + "".join(f"ARG A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 60)) + "FROM $A59\n",
        f"ARG A={'x' * 4000}\nFROM {'$A' * 100_000}\n",
        "".join(f"ARG A{n}=x\n" for n in range(2000)) + "FROM a\n",
    ],
    ids=["doubled", "repeated", "many"],
)
def test_values_that_grow_are_refused(text: str) -> None:
    with pytest.raises(BuildError, match="more than"):
        find_base_images(text, {})


def test_an_instruction_of_very_many_lines_is_read_in_little_time() -> None:
    before = time.process_time()
    assert find_base_images("FROM a\nRUN x" + " \\\n\\" * 200_000 + "\n", {}).images == ("a",)
    assert time.process_time() - before < 3
