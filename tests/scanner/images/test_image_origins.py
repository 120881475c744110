"""Which layers are the base image's, by annotations and histories as builders write them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.images import make
from tests.scanner.images.client import open_remote
from tests.scanner.images.webserver import Answer, Request, as_json, serve

from dockgate.scanner.images import open_images
from dockgate.scanner.images.metadata import count_base_layers, read_commands, read_metadata
from dockgate.scanner.manifest import Descriptor
from dockgate.scanner.ports import ImageMetadata
from dockgate.shared.errors import ImageError, NotFoundError

NAME, DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"

KIT = "buildkit.dockerfile.v0"


def make_buildkit_history(*commands: str) -> list[dict[str, Any]]:
    """Entries as BuildKit writes them; those that begin with a blank made no layer."""
    return [
        {"created_by": command.strip(), "comment": KIT, **({"empty_layer": True} if command[0] == " " else {})}
        for command in commands
    ]


def make_classic_history(*commands: str, base: str = "") -> list[dict[str, Any]]:
    """Entries as Docker's classic builder and buildah write them; buildah's first one names the base."""
    entries: list[dict[str, Any]] = [
        {"created_by": f"/bin/sh -c #(nop) {command}", "empty_layer": True}
        if command[0] == " "
        else {"created_by": f"/bin/sh -c {command}"}
        for command in commands
    ]
    if base:
        entries[0]["comment"] = f"FROM {base}"
    return entries


DEBIAN = [{"created_by": "# debian.sh --arch 'amd64' out/ 'trixie'", "comment": "debuerreotype 0.16"}]
OLD_DEBIAN = make_classic_history("#(nop) ADD file:1 in / ", ' CMD ["bash"]')
ALPINE = make_buildkit_history("ADD alpine.tar.gz / # buildkit", ' CMD ["/bin/sh"]')
IMPORTED = [{"created_by": "/bin/sh -c #(nop) ADD file:1 in /", "comment": "imported from tarball"}]
PYTHON = [*DEBIAN, *make_buildkit_history("RUN apt-get", "RUN make", ' CMD ["python3"]')]


@pytest.mark.parametrize(
    ("history", "layers", "expected"),
    [
        pytest.param(DEBIAN, 1, (0, None), id="only a base"),
        pytest.param(ALPINE, 1, (0, None), id="only a base with a command"),
        pytest.param(PYTHON, 3, (1, None), id="another builder from here on"),
        pytest.param(
            [*PYTHON, *make_buildkit_history("COPY . . # buildkit", ' CMD ["app"]')], 4, (3, None), id="after a command"
        ),
        pytest.param(
            [*OLD_DEBIAN, *make_classic_history("make", "cp", ' ENTRYPOINT ["a"]')], 3, (1, None), id="classic builder"
        ),
        pytest.param(
            [*ALPINE, *make_buildkit_history(" ENV A=1", ' ENTRYPOINT ["a"]')], 1, (0, None), id="no layer of its own"
        ),
        pytest.param(
            [*OLD_DEBIAN, *make_buildkit_history(' ENTRYPOINT ["a"]', " EXPOSE 80/tcp", "COPY a a # buildkit")],
            2,
            (1, None),
            id="late",
        ),
        pytest.param(
            [*IMPORTED, *make_classic_history(" ENV A=1", ' CMD ["bash"]', base="localhost/base:1")],
            1,
            (0, "localhost/base:1"),
            id="podman: no layer of its own",
        ),
        pytest.param(
            [
                *IMPORTED,
                *make_classic_history(" ENV A=1", ' CMD ["bash"]', base="localhost/base:1"),
                *make_classic_history("make", ' CMD ["a"]', "cp", base="localhost/middle:1"),
            ],
            3,
            (1, "localhost/middle:1"),
            id="podman: the topmost build, whatever it starts",
        ),
        pytest.param(
            [
                *make_classic_history("make", ' CMD ["bash"]', base="debian:13"),
                *make_buildkit_history("RUN a", "RUN b"),
            ],
            3,
            (1, None),
            id="podman's image under another builder's",
        ),
        pytest.param(
            [
                *make_classic_history(" LABEL a=b", " COPY file:1 in /b", base="localhost/middle:1"),
                {"created_by": "CMD"},
            ],
            1,
            (0, "localhost/middle:1"),
            id="podman: all squashed into one",
        ),
        pytest.param(make_classic_history("cp", "cp", ' CMD ["/a"]'), 2, (0, None), id="from scratch"),
        pytest.param([*PYTHON, *make_buildkit_history("RUN a")], 2, (0, None), id="another number of layers"),
        pytest.param([], 3, (0, None), id="no history"),
    ],
)
def test_a_history_tells_where_the_base_ends(
    history: list[object], layers: int, expected: tuple[int, str | None]
) -> None:
    assert count_base_layers(history, layers) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["empty_layer", "created_by", "comment", "config", "User", "Labels", "history", "created"])


@settings(max_examples=scale_examples(60), deadline=None)
@given(st.dictionaries(FIELDS, JSON | st.lists(st.dictionaries(FIELDS, JSON))), st.integers(0, 3))
def test_a_hostile_config_tells_nothing_and_breaks_nothing(config: dict[str, Any], layers: int) -> None:
    def fetch(name: str | None, digest: str) -> bytes:
        raise NotFoundError(name or digest)

    metadata = read_metadata(config, (), [Descriptor("sha256:a", 0)] * layers, "linux/amd64", fetch)
    assert 0 <= metadata.base_layers <= layers
    assert metadata.base != ""
    assert metadata.created != ""
    assert all(len(text or "") <= 512 for text in (metadata.base, metadata.created, metadata.user))
    assert len(metadata.layers) == layers


@pytest.mark.parametrize("history", [{}, "x", [None, 1], [{"empty_layer": 0}], [{"created_by": []}], [{}] * 5000])
def test_a_history_of_wrong_types_tells_nothing(history: object) -> None:
    assert count_base_layers(history, 1) == (0, None)
    assert count_base_layers(history, len(history)) == (0, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "created_at", "user"),
    [
        ({"created": "2026-01-02T03:04:05Z", "config": {"User": "1000:1000"}}, "2026-01-02T03:04:05Z", "1000:1000"),
        ({"created": "yesterday", "config": {"User": "\x1b[31m"}}, None, None),
        ({"created": 1, "config": []}, None, None),
        ({"created": "2026-01-02T03:04:05+01:00\n", "config": {"User": "a" * 513}}, None, None),
    ],
)
def test_time_and_user_are_the_configs_where_they_are_what_they_should_be(
    config: dict[str, Any], created_at: str | None, user: str | None
) -> None:
    metadata = read_metadata(config, (), [], "linux/amd64", lambda name, digest: b"")
    assert (metadata.created, metadata.user) == (created_at, user)


# --- commands ----------------------------------------------------------------------------------------------------


def test_each_layer_has_the_command_that_made_it_and_its_size(tmp_path: Path) -> None:
    history = [
        *make_buildkit_history(
            "ADD rootfs.tar / # buildkit", " ENV A=b", "RUN /bin/sh -c make # buildkit", "COPY app /app"
        )
    ]
    image = make.make_image(LAYERS, config={"history": history})
    make.write_layout(tmp_path, {"": image})
    with open_images(f"oci:{tmp_path}") as opened_images:
        origins = opened_images.images[0].metadata.layers
    sizes = [len(image.blobs[digest]) for digest in image.layers]
    assert [origin.size for origin in origins] == sizes
    assert [origin.command for origin in origins] == [
        "ADD rootfs.tar / # buildkit",
        "RUN /bin/sh -c make # buildkit",
        "COPY app /app",
    ]


@pytest.mark.parametrize(
    ("command", "shown_command"),
    [
        ("|1 TOKEN=hunter2 /bin/sh -c make", "/bin/sh -c make"),
        ("RUN |2 TOKEN=hunter 2 B=c /bin/sh -c make # buildkit", "RUN /bin/sh -c make # buildkit"),
        ("|1 TOKEN=hunter2 ash -c make", "a command with build arguments"),
        ("/bin/sh -c echo |1 a", "/bin/sh -c echo |1 a"),
        ("a\ud800b", "a\\ud800b"),
        ("x" * 401, "x" * 399 + "…"),
        ("", None),
    ],
)
def test_commands_are_shown_without_build_arguments_and_within_bounds(command: str, shown_command: str | None) -> None:
    assert read_commands([{"created_by": command}], 1) == [shown_command]


def test_very_many_commands_are_not_all_shown() -> None:
    commands = read_commands([{"created_by": "x" * 400}] * 200, 200)
    assert (commands.count("x" * 400), commands.count(None)) == (100, 100)


@pytest.mark.parametrize("history", [None, [], [{"created_by": "a"}], [{"created_by": 1}, {}], "x"])
def test_a_history_that_does_not_fit_the_layers_has_no_commands(history: object) -> None:
    assert read_commands(history, 2) == [None, None]


# --- annotations -------------------------------------------------------------------------------------------------

BASE = make.make_image([{"base": b"1"}, {"base": b"2"}])
LAYERS: list[make.Layer] = [{"base": b"1"}, {"base": b"2"}, {"own": b"1"}]


def make_annotated_image(
    annotations: Mapping[str, str], layers: list[make.Layer] | None = None, **config: Any
) -> make.Image:
    """An image whose manifest has annotations, which lies beside its base image."""
    image = make.make_image(layers or LAYERS, config=config)
    document = json.loads(image.blobs.pop(image.digest))
    data = json.dumps({**document, "annotations": annotations}).encode()
    image.digest = make.compute_sha256(data)
    image.blobs |= {**BASE.blobs, image.digest: data}
    return image


def read_image_metadata(folder: Path, image: make.Image) -> ImageMetadata:
    make.write_layout(folder, {"": image})
    with open_images(f"oci:{folder}") as opened_images:
        return opened_images.images[0].metadata._replace(layers=())


def test_the_bases_own_manifest_counts_its_layers(tmp_path: Path) -> None:
    image = make_annotated_image(
        {NAME: "debian:13", DIGEST: BASE.digest}, history=[{}, *make_classic_history("make", "cp", base="other:1")]
    )
    assert read_image_metadata(tmp_path, image) == ImageMetadata(2, "debian:13")
    assert read_image_metadata(tmp_path, make_annotated_image({DIGEST: BASE.digest})) == ImageMetadata(2, BASE.digest)


def test_a_base_that_has_other_layers_does_not_count(tmp_path: Path) -> None:
    image = make_annotated_image(
        {NAME: "debian:13", DIGEST: BASE.digest}, [{"base": b"1"}, {"own": b"1"}, {"own": b"2"}]
    )
    assert read_image_metadata(tmp_path, image) == ImageMetadata(0, "debian:13")


def test_an_index_as_base_resolves_to_the_same_platform(tmp_path: Path) -> None:
    index = make.index([make.make_image([{"arm": b"1"}], platform="linux/arm64"), BASE])
    image = make_annotated_image({NAME: "debian:13", DIGEST: index.digest})
    image.blobs |= index.blobs
    assert read_image_metadata(tmp_path, image) == ImageMetadata(2, "debian:13")


@pytest.mark.parametrize("digest", ["", "sha256:" + "0" * 64, "sha256:../../../etc/passwd", "x"])
def test_without_the_bases_manifest_the_history_counts(digest: str, tmp_path: Path) -> None:
    history = [{}, *make_classic_history("make", "cp", base="other:1")]
    image = make_annotated_image({NAME: "debian:13", DIGEST: digest}, history=history)
    assert read_image_metadata(tmp_path, image) == ImageMetadata(1, "debian:13")


def test_an_image_annotated_as_made_from_nothing_has_no_base(tmp_path: Path) -> None:
    history = [{}, *make_classic_history(' CMD ["a"]', "cp", "cp")]
    assert (
        read_image_metadata(tmp_path, make_annotated_image({NAME: "", DIGEST: ""}, history=history)) == ImageMetadata()
    )


def test_labels_name_a_base_where_nothing_else_does(tmp_path: Path) -> None:
    config = {"Labels": {NAME: "debian:13"}}
    history = [{}, *make_classic_history("make", "cp", base="middle:1")]
    assert read_image_metadata(tmp_path, make_annotated_image({}, config=config)) == ImageMetadata(0, "debian:13")
    assert read_image_metadata(tmp_path, make_annotated_image({}, config=config, history=history)) == ImageMetadata(
        1, "middle:1"
    )
    assert read_image_metadata(
        tmp_path, make_annotated_image({NAME: "top:1"}, config=config, history=history)
    ) == ImageMetadata(1, "top:1")


def test_an_index_may_carry_the_annotations(tmp_path: Path) -> None:
    image = make.make_image(LAYERS)
    platform = {"os": "linux", "architecture": "amd64"}
    entry = make.make_descriptor(image.blobs[image.digest], make.MANIFEST, platform=platform)
    for annotated_part in ("entry", "index"):
        listed_entry = {**entry, **({"annotations": {NAME: annotated_part}} if annotated_part == "entry" else {})}
        index_fields = {"annotations": {NAME: "index", DIGEST: BASE.digest}}
        data = json.dumps(
            {"schemaVersion": 2, "mediaType": make.INDEX, "manifests": [listed_entry], **index_fields}
        ).encode()
        blobs = {**image.blobs, **BASE.blobs, make.compute_sha256(data): data}
        metadata = read_image_metadata(
            tmp_path / annotated_part, make.Image(make.compute_sha256(data), "", "", [], [], blobs)
        )
        assert metadata == ImageMetadata(0 if annotated_part == "entry" else 2, annotated_part)


# --- registries --------------------------------------------------------------------------------------------------


def _serve_base(image: make.Image, base: Answer) -> Any:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/v2/team/base/"):
            return base
        name = request.path.rpartition("/")[2]
        return Answer(200, image.blobs[image.digest if name == "1" else name])

    return answer


BROKEN = [
    Answer(500),
    Answer(503, headers={"Retry-After": "20"}),
    Answer(200, b"{}"),
    Answer(404),
    as_json({"errors": [{"code": "UNAUTHORIZED"}]}, 401),
    Answer(200, b"x" * 100, cut=50),
    Answer(302, headers={"Location": "http://127.0.0.1:9/"}),
]


@pytest.mark.parametrize("base", [Answer(200, BASE.blobs[BASE.digest]), *BROKEN])
def test_a_base_in_the_same_registry_is_asked_for_once(base: Answer) -> None:
    image = make.make_image([])
    answer: list[Any] = []
    with serve(lambda request: answer[0](request)) as server:
        image = make_annotated_image({NAME: f"{server.address}/team/base:1", DIGEST: BASE.digest})
        answer.append(_serve_base(image, base))
        pauses: list[float] = []
        with open_remote(f"{server.address}/team/app:1", pauses=pauses) as opened_images:
            assert opened_images.images[0].metadata.base_layers == (0 if base in BROKEN else 2)
    requested_paths = [request.path for request in server.requests if "/team/base/" in request.path]
    assert requested_paths == [f"/v2/team/base/manifests/{BASE.digest}"]
    assert pauses == []


@pytest.mark.parametrize("name", ["127.0.0.1:9/team/base:1", "debian:13", "", "no name", "../../team/base"])
def test_a_base_elsewhere_is_not_asked_for(name: str) -> None:
    image = make_annotated_image({NAME: name, DIGEST: BASE.digest})
    with (
        serve(_serve_base(image, Answer(500))) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
    ):
        assert opened_images.images[0].metadata.base_layers == 0
    assert len(server.requests) == 2  # manifest and config


def test_a_config_that_is_broken_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        read_image_metadata(tmp_path, make.make_image([], config={"architecture": None}))
