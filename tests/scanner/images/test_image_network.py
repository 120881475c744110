"""Bad networks: connections that break off, stand still or crawl, and registries that answer them badly."""

import re
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count

import pytest
from tests.scanner.images import make
from tests.scanner.images.client import BASIC, LOGIN, list_files, open_remote, serve_image
from tests.scanner.images.webserver import Answer, Request, as_json, serve

from dockgate.scanner.images.resumable_blob import MAX_DISCONNECTS
from dockgate.scanner.images.transport import PROGRESS_STEP, Transport
from dockgate.shared.errors import DeniedError, ImageError, UnavailableError

# Its second layer has four times STEP bytes.
BIG = make.make_image([{"one": b"1"}, {"two": bytes(range(256)) * (PROGRESS_STEP // 64)}], compression="none")
LAYER = BIG.layers[1]
SIZE = len(BIG.blobs[LAYER])
Serve = Callable[[Request], Answer]


def serve_ranges(answer: Serve) -> Serve:
    """A registry that knows ranges."""

    def serve_part(request: Request) -> Answer:
        response = answer(request)
        offset = start(request)
        if offset is None or response.status != 200:
            return response
        size = len(response.body)
        if offset >= size:
            return Answer(416, headers={"Content-Range": f"bytes */{size}"})
        return Answer(206, response.body[offset:], {"Content-Range": f"bytes {offset}-{size - 1}/{size}"})

    return serve_part


def break_off(answer: Serve, after: int) -> Serve:
    """After so many bytes of each answer that brings some of the second layer."""

    def serve_broken(request: Request) -> Answer:
        response = answer(request)
        if LAYER in request.path and response.status in (200, 206):
            response.cut = max(0, len(response.body) - after)
        return response

    return serve_broken


def start(request: Request) -> int | None:
    requested_offsets = re.fullmatch("bytes=([0-9]+)-", request.headers.get("Range", ""))
    return int(requested_offsets[1]) if requested_offsets else None


def list_requested_offsets(requests: list[Request]) -> list[int | None]:
    """Where each request for the second layer wants to begin."""
    return [start(request) for request in requests if LAYER in request.path]


def serve_once(first: Serve, later: Serve) -> Serve:
    """The first answer for the second layer, and the others."""
    times = count()
    return lambda request: (first if LAYER in request.path and next(times) == 0 else later)(request)


# --- what goes on --------------------------------------------------------------------------------------------------


def test_a_connection_that_breaks_off_is_taken_up_where_it_did() -> None:
    pauses: list[float] = []
    with (
        serve(break_off(serve_ranges(serve_image(BIG)), PROGRESS_STEP + 8000)) as server,
        open_remote(f"{server.address}/team/app:1", pauses=pauses) as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(server.requests) == [
        None,
        PROGRESS_STEP + 8000,
        2 * (PROGRESS_STEP + 8000),
        3 * (PROGRESS_STEP + 8000),
    ]
    assert len(pauses) == 3
    assert max(pauses) < 1


def test_a_download_from_a_registry_without_ranges_restarts() -> None:
    with (
        serve(serve_once(break_off(serve_image(BIG), 100_000), serve_image(BIG))) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(server.requests) == [None, 100_000]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(206, b"no", {"Content-Range": "bytes 99999-100000/200000"}),
        Answer(206, b"no", {"Content-Range": f"bytes {'9' * 5000}-/*"}),
        Answer(206, b"no", {"Content-Type": "multipart/byteranges; boundary=x"}),
        Answer(206, b"no"),
        Answer(416),
    ],
)
def test_a_range_that_was_not_asked_for_is_not_taken(answer: Answer) -> None:
    def serve_wrong_range(request: Request) -> Answer:
        return answer if start(request) else serve_image(BIG)(request)

    with (
        serve(serve_once(break_off(serve_image(BIG), 100_000), serve_wrong_range)) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(server.requests) == [None, 100_000, None]


def test_a_part_of_what_was_asked_for_is_no_end() -> None:
    """RFC 9110, section 15.3.7: a server may send less than the range."""

    def serve_less(request: Request) -> Answer:
        response = serve_ranges(serve_image(BIG))(request)
        offset = start(request)
        if offset is not None and response.status == 206:
            body = response.body[:PROGRESS_STEP]
            response = Answer(206, body, {"Content-Range": f"bytes {offset}-{offset + len(body) - 1}/{SIZE}"})
        return response

    with (
        serve(serve_once(break_off(serve_image(BIG), PROGRESS_STEP), serve_less)) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(server.requests) == [
        None,
        PROGRESS_STEP,
        2 * PROGRESS_STEP,
        3 * PROGRESS_STEP,
        4 * PROGRESS_STEP,
    ]


def test_ranges_that_do_not_join_are_not_accepted_as_the_blob() -> None:
    second = make.make_image(
        [{"one": b"1"}, {"two": bytes(reversed(range(256))) * (PROGRESS_STEP // 64)}], compression="none"
    )

    def serve_other_layer(request: Request) -> Answer:
        return serve_ranges(serve_image(second))(
            Request("GET", request.path.replace(LAYER, second.layers[1]), request.headers)
        )

    with (
        serve(
            serve_once(
                break_off(serve_image(BIG), 100_000),
                lambda request: (serve_other_layer if start(request) else serve_image(BIG))(request),
            )
        ) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(ImageError, match=LAYER),
    ):
        list_files(opened_images)
    assert list_requested_offsets(server.requests) == [None, 100_000]


def test_a_connection_that_stands_still_is_left() -> None:
    def serve_and_hang(request: Request) -> Answer:
        response = break_off(serve_image(BIG), 100_000)(request)
        response.stalls = True
        return response

    with (
        serve(serve_once(serve_and_hang, serve_ranges(serve_image(BIG)))) as server,
        open_remote(f"{server.address}/team/app:1", timeout=0.2) as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(server.requests) == [None, 100_000]


def test_only_a_request_that_says_so_waits_long_for_its_answer() -> None:
    def answer_slowly(request: Request) -> Answer:
        if request.method == "PUT":
            time.sleep(1.5)
        return Answer(201 if request.method == "PUT" else 200)

    with serve(answer_slowly) as server:
        transport = Transport(server.address, None, False, timeout=0.5)
        with closing(transport):
            transport.get("/v2/", {}).close()
            with closing(transport.send("PUT", "/v2/blob", {}, b"x", answer_seconds=60)) as answer:
                assert answer.status_code == 201
            with pytest.raises(UnavailableError, match="too long"):
                transport.send("PUT", "/v2/blob", {}, b"x")


def test_a_registry_that_is_busy_in_the_middle_is_waited_for() -> None:
    pauses: list[float] = []
    times = count()

    def serve_when_free(request: Request) -> Answer:
        if start(request) and next(times) < 2:
            return Answer(429, headers={"Retry-After": "9"})
        return serve_ranges(serve_image(BIG))(request)

    with (
        serve(serve_once(break_off(serve_image(BIG), 100_000), serve_when_free)) as server,
        open_remote(f"{server.address}/team/app:1", pauses=pauses) as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert pauses[1:] == [9.0, 9.0]


def test_a_manifest_and_a_token_that_break_off_are_asked_for_again() -> None:
    def issue(_: Request) -> Answer:
        response = as_json({"token": "good"})
        response.cut = 5 if len(tokens.requests) == 1 else 0
        return response

    def answer(request: Request) -> Answer:
        if request.headers.get("Authorization") != "Bearer good":
            return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{tokens.address}/"'})
        response = serve_image(BIG)(request)
        response.cut = 5 if len(server.requests) == 2 else 0
        return response

    with (
        serve(issue) as tokens,
        serve(answer) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert len(tokens.requests) == 2


# --- secrets -------------------------------------------------------------------------------------------------------


def test_a_token_that_ends_in_the_middle_is_renewed() -> None:
    def answer(request: Request) -> Answer:
        good = "Bearer t2" if start(request) else "Bearer t1"
        if request.headers.get("Authorization") != good:
            return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{tokens.address}/"'})
        return break_off(serve_ranges(serve_image(BIG)), SIZE - 1000)(request)

    with (
        serve(lambda _: as_json({"token": f"t{len(tokens.requests)}"})) as tokens,
        serve(answer) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(server.requests) == [None, SIZE - 1000, SIZE - 1000]
    assert len(tokens.requests) == 2


def test_access_that_is_revoked_in_the_middle_is_reported() -> None:
    with (
        serve(lambda request: Answer(403) if start(request) else break_off(serve_image(BIG), 1000)(request)) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(DeniedError),
    ):
        list_files(opened_images)


def test_the_registry_is_asked_again_and_its_storage_without_the_secret() -> None:
    def redirect_request(request: Request) -> Answer:
        if request.headers.get("Authorization") != BASIC:
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if LAYER in request.path:
            url = f"http://{storage.address}{request.path}?signed={len(server.requests)}"
            return Answer(307, headers={"Location": url})
        return serve_image(BIG)(request)

    def store(request: Request) -> Answer:
        path = request.path.partition("?")[0]
        return break_off(serve_ranges(serve_image(BIG)), SIZE - 1000)(Request("GET", path, request.headers))

    with (
        serve(store) as storage,
        serve(redirect_request) as server,
        open_remote(f"{server.address}/team/app:1", LOGIN) as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert list_requested_offsets(storage.requests) == list_requested_offsets(server.requests) == [None, SIZE - 1000]
    assert [request.headers.get("Authorization") for request in storage.requests] == [None, None]
    assert len({request.path for request in storage.requests}) == 2


# --- what ends -----------------------------------------------------------------------------------------------------


def test_a_blob_that_never_gets_further_is_given_up_by_name() -> None:
    pauses: list[float] = []
    with (
        serve(break_off(serve_image(BIG), 1000)) as server,
        open_remote(f"{server.address}/team/app:1", pauses=pauses) as opened_images,
        pytest.raises(
            UnavailableError, match=f"blob {LAYER} of {server.address}/team/app:1 stopped at 1000"
        ) as error_info,
    ):
        list_files(opened_images)
    assert "run the same command again" in str(error_info.value.advice)
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_a_registry_that_gives_a_byte_at_a_time_is_given_up() -> None:
    with (
        serve(break_off(serve_ranges(serve_image(BIG)), 1)) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(UnavailableError, match="stopped at 4 bytes"),
    ):
        list_files(opened_images)


def test_there_is_an_end_to_taking_up_again() -> None:
    image = make.make_image([{"one": b"1"}, {"two": bytes(PROGRESS_STEP) * (MAX_DISCONNECTS + 2)}], compression="none")

    def answer(request: Request) -> Answer:
        response = serve_ranges(serve_image(image))(request)
        response.cut = max(0, len(response.body) - PROGRESS_STEP) if image.layers[1] in request.path else 0
        return response

    with (
        serve(answer) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(UnavailableError, match=f"{image.layers[1]}.*{MAX_DISCONNECTS + 1} connections"),
    ):
        list_files(opened_images)


def test_a_registry_that_crawls_is_given_up() -> None:
    """Each read takes twenty seconds, and brings some of the layer."""
    with (
        serve(serve_ranges(serve_image(BIG))) as server,
        open_remote(f"{server.address}/team/app:1", clock=count(0, 20).__next__) as opened_images,
        pytest.raises(UnavailableError, match=f"{LAYER}.* in 60 seconds"),
    ):
        list_files(opened_images)


def test_a_registry_that_goes_away_in_the_middle_is_reported_with_the_layer() -> None:
    with (
        serve(lambda request: Answer(503) if start(request) else break_off(serve_image(BIG), 1000)(request)) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(UnavailableError, match=f"{LAYER}.*answered 503"),
    ):
        list_files(opened_images)


def test_an_error_with_truncated_text_is_still_reported() -> None:
    def answer(request: Request) -> Answer:
        return Answer(404, b"x" * 100, cut=50) if LAYER in request.path else serve_image(BIG)(request)

    with (
        serve(answer) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(ImageError, match="lacks the blob"),
    ):
        list_files(opened_images)
