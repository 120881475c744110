import pytest

from dockgate.shared.references import TagReference


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [("app:1", "app", "1"), ("team/app:1.2-rc", "team/app", "1.2-rc"), ("host:5000/app:1", "host:5000/app", "1")],
)
def test_an_image_by_tag(text: str, repository: str, tag: str) -> None:
    reference = TagReference.parse(text)
    assert reference == TagReference(repository, tag)
    assert str(reference) == text


@pytest.mark.parametrize("text", ["app", "host:5000/app", "app:", ":1", ""])
def test_a_reference_without_a_tag(text: str) -> None:
    assert TagReference.parse(text) is None
