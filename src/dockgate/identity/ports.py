"""The interfaces of the adapters that say who people are."""

from typing import Protocol

from dockgate.identity.sign_in import Identity, SignInRequest


class IdentityProvider(Protocol):
    """A provider at which people sign in."""

    def build_sign_in_url(self, request: SignInRequest) -> str:
        """Return the page of the provider to which the browser goes.

        Raises UnavailableError if the provider does not answer, or not as its standard requires.
        """
        ...

    def redeem(self, request: SignInRequest, code: str, issuer: str | None) -> Identity:
        """Exchange the code that the browser brought back.

        `issuer` is what the answer names as its sender, if any. Raises DeniedError if the code, or the ID token for it,
        is not one for this request, this server and this time; UnavailableError as `build_sign_in_url`.
        """
        ...
