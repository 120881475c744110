"""A file that a person chooses in a form."""

import pytest

from dockgate.shared.errors import UsageError
from dockgate.web.console.uploads import MAX_PARTS, PASTED_NAME, Upload, read_upload


def form(*parts: tuple[str, bytes], end: bytes = b"--B--\r\n") -> bytes:
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
    chosen = ('name="file"; filename="a b.json"\r\nContent-Type: application/json', data)
    assert read_upload(form(TEXT, chosen), b"B") == Upload("a b.json", data)
    assert read_upload(form(TEXT, ('name="file"; filename=""', b"")), b"B") == Upload(PASTED_NAME, b"{\n}")
    assert read_upload(form(), b"B") == Upload(PASTED_NAME, b"")


@pytest.mark.parametrize(
    "body", [b"", b"text", form(TEXT, end=b""), form(TEXT, TEXT), form(("filename=x", b"")), b"x" + form(TEXT)]
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_upload(body, b"B")


def test_no_more_parts_are_read_than_a_form_can_have() -> None:
    many = [(f'name="{number}"', b"") for number in range(MAX_PARTS)]
    assert read_upload(form(*many), b"B") == Upload(PASTED_NAME, b"")
    with pytest.raises(UsageError, match="too many parts"):
        read_upload(form(*many, TEXT), b"B")
    with pytest.raises(UsageError, match="too many parts"):
        read_upload(b"--B\r\n" * 100_000, b"B")
