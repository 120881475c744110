"""Which images a Dockerfile names."""

import time
from collections.abc import Mapping

import pytest

from dockgate.delivery.builders.dockerfile import base_images
from dockgate.shared.errors import BuildError


@pytest.mark.parametrize(
    ("text", "arguments", "images"),
    [
        ("FROM scratch\n", {}, []),
        ("FROM debian:13\n", {}, ["debian:13"]),
        ("from debian as Base\nfrom base\n", {}, ["debian"]),
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
    assert list(base_images(text, arguments).images) == images


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
    ],
)
def test_what_is_no_image_of_a_registry_is_refused(line: str) -> None:
    with pytest.raises(BuildError) as caught:
        base_images(f"{line}\n", {})
    assert caught.value.advice


def test_the_number_of_images_is_bounded() -> None:
    with pytest.raises(BuildError, match="names 40 images"):
        base_images("".join(f"FROM image-{number}\n" for number in range(40)), {})


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("FROM a\nFROM b\n", "b"),
        ("FROM a AS one\nFROM one AS two\nFROM b AS other\nFROM two\nCOPY --from=other / /\n", "a"),
        ("FROM a AS one\nFROM scratch\nCOPY --from=one / /\n", None),
        ("FROM a AS one\nFROM scratch AS none\nFROM none\n", None),
    ],
)
def test_the_base_of_the_last_stage_is_told_from_the_others(text: str, last: str | None) -> None:
    assert base_images(text, {}).last == last


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
        base_images(text, {})


def test_an_instruction_of_very_many_lines_is_read_in_little_time() -> None:
    before = time.process_time()
    assert base_images("FROM a\nRUN x" + " \\\n\\" * 200_000 + "\n", {}).images == ("a",)
    assert time.process_time() - before < 3
