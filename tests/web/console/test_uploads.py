"""A file that a person chooses in a form."""

import pytest

from dockgate.shared.errors import UsageError
from dockgate.web.console.multipart import MAX_PARTS, Part, find_boundary, read_parts
from dockgate.web.console.uploads import PASTED_NAME, Upload, choose_upload


def read_upload(body: bytes) -> Upload:
    return choose_upload(read_parts(body, b"B"))


def encode_form(*parts: tuple[str, bytes], end: bytes = b"--B--\r\n") -> bytes:
    return (
        b"".join(
            b"--B\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
            for head, data in parts
        )
        + end
    )


TEXT = ('name="content"', b"{\r\n}")


def test_the_chosen_file_counts_byte_by_byte_or_else_the_text() -> None:
    data = b'{"a": "--B \r\n\r\n\xff"}'
    chosen_file = ('name="file"; filename="a b.json"\r\nContent-Type: application/json', data)
    assert read_upload(encode_form(TEXT, chosen_file)) == Upload("a b.json", data)
    assert read_upload(encode_form(TEXT, ('name="file"; filename=""', b""))) == Upload(PASTED_NAME, b"{\n}")
    assert read_upload(encode_form()) == Upload(PASTED_NAME, b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        encode_form(TEXT, end=b""),
        encode_form(TEXT, TEXT),
        encode_form(("filename=x", b"")),
        b"x" + encode_form(TEXT),
    ],
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_upload(body)


def test_no_more_parts_are_read_than_a_form_can_have() -> None:
    parts = [(f'name="{number}"', b"") for number in range(MAX_PARTS)]
    assert read_upload(encode_form(*parts)) == Upload(PASTED_NAME, b"")
    with pytest.raises(UsageError, match="too many parts"):
        read_upload(encode_form(*parts, TEXT))
    with pytest.raises(UsageError, match="too many parts"):
        read_upload(b"--B\r\n" * 100_000)


def test_a_file_is_no_text_even_without_a_name() -> None:
    parts = read_parts(encode_form(TEXT, ('name="file"; filename=""', b"")), b"B")
    assert parts == {"content": Part(None, b"{\n}"), "file": Part("", b"")}


def test_only_a_form_that_can_send_files_has_a_boundary() -> None:
    assert find_boundary('multipart/form-data; boundary="B"') == b"B"
    assert find_boundary("Multipart/Form-Data;boundary=B") == b"B"
    assert find_boundary("application/x-www-form-urlencoded") is None
    assert find_boundary("multipart/mixed; boundary=B") is None
