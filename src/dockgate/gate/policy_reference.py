"""The reference to a policy: the server's, with or without what a repository requires on top."""

from dockgate.shared.text_types import TextType


class PolicyReference(TextType):
    """The policy that judges an image: a server policy, with or without a repository's rules.

    The text is "default", or "default+sha256:…" with the digest of the repository's rules. The name of a server policy
    has no "+", and is a reference, too.
    """

    __slots__ = ()

    @classmethod
    def make(cls, name: str, repository_digest: str | None = None) -> "PolicyReference":
        """Make the reference to a server policy, with the rules of a repository."""
        return cls(f"{name}+{repository_digest}" if repository_digest else name)

    @property
    def server_policy(self) -> str:
        """The name of the server policy."""
        return str(self.partition("+")[0])  # without a "+" it would be the reference itself

    @property
    def repository_digest(self) -> str | None:
        """The digest of the repository's rules, None without any."""
        return self.partition("+")[2] or None

    @property
    def label(self) -> str:
        """The text for people, without the digest: "default" or "default+repository"."""
        return f"{self.server_policy}+repository" if self.repository_digest else self.server_policy
