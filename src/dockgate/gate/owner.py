"""The owners of repositories: whom the events of a repository go to. Pure."""

from dockgate.identity.model import PRINCIPAL, Role


class Owner(str):
    """An owner of repositories, as people write it.

    The text is the name of a principal, or "role:NAME" for everybody with a role, or "target:NAME" for a target of
    events. A text with another prefix, or none, is the name of a principal, who may not exist.
    """

    __slots__ = ()
    _ROLE, _TARGET = "role:", "target:"
    # A regular expression, not anchored, of owners that are people: principals and roles.
    PEOPLE = rf"{PRINCIPAL}|{_ROLE}(?:{'|'.join(Role)})"

    @classmethod
    def make_target(cls, name: str) -> "Owner":
        """Make the owner that is the target with this name."""
        return cls(cls._TARGET + name)

    @classmethod
    def make_target_pattern(cls, name_pattern: str) -> str:
        """Make a regular expression, not anchored, of owners that are targets, from one of their names."""
        return cls._TARGET + name_pattern

    @property
    def role(self) -> str | None:
        """The name of the role, None for another owner."""
        return self.removeprefix(self._ROLE) if self.startswith(self._ROLE) else None

    @property
    def target(self) -> str | None:
        """The name of the target, None for another owner."""
        return self.removeprefix(self._TARGET) if self.startswith(self._TARGET) else None

    @property
    def principal(self) -> str | None:
        """The name of the principal, None for another owner."""
        return str(self) if self.role is None and self.target is None else None
