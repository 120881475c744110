"""Owners of repositories, as people write them."""

import re

import pytest

from dockgate.gate.owner import Owner


@pytest.mark.parametrize(
    ("text", "principal", "role", "target"),
    [
        ("ana", "ana", None, None),
        ("ana@example.org", "ana@example.org", None, None),
        ("role:security", None, "security", None),
        ("target:chat", None, None, "chat"),
        ("team:web", "team:web", None, None),
        ("target:", None, None, ""),
    ],
)
def test_an_owner_is_a_principal_a_role_or_a_target(
    text: str, principal: str | None, role: str | None, target: str | None
) -> None:
    owner = Owner(text)
    assert (owner.principal, owner.role, owner.target, str(owner)) == (principal, role, target, text)


def test_the_owner_made_of_a_target_is_the_one_that_people_write() -> None:
    assert Owner.make_target("chat") == "target:chat"
    assert Owner.make_target("chat").target == "chat"


@pytest.mark.parametrize("text", ["ana", "role:admin"])
def test_people_are_principals_and_roles(text: str) -> None:
    assert re.fullmatch(Owner.PEOPLE, text)


@pytest.mark.parametrize("text", ["target:chat", "role:unknown", "role:", "team:web"])
def test_no_other_text_is_of_people(text: str) -> None:
    assert not re.fullmatch(Owner.PEOPLE, text)
