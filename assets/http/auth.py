"""How a request proves who asks: by name and password, or by a key.

What lives here: what is added to a request, and what of it must be masked. What does not: where secrets come from
(``pipelines.secret_source``), masking (``secret``) and what a refusal means (``client``).
"""

from dataclasses import dataclass

from assets.http.secret import Secret, basic_token
from tollbook_errors import ConfigError


class Auth:
    """How a request proves who asks: what is added to its headers and its parameters."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that must be masked."""
        return ()

    @property
    def keys(self) -> tuple[Secret, ...]:
        """Of the secrets those that no vendor's data hold rightly, as they do user names."""
        return self.secrets

    def headers(self) -> dict[str, str]:
        return {}

    def parameters(self) -> list[tuple[str, str]]:
        return []


@dataclass(frozen=True)
class BasicAuth(Auth):
    """User name and password as HTTP Basic, in UTF-8."""

    username: Secret
    password: Secret

    def __post_init__(self) -> None:
        if ":" in self.username.reveal():
            raise ConfigError("a user name cannot hold a colon", hint="check username")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return (self.username, *self.keys)

    @property
    def keys(self) -> tuple[Secret, ...]:
        return (self.password, basic_token(self.username, self.password))

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {basic_token(self.username, self.password).reveal()}"}


@dataclass(frozen=True)
class ParameterKey(Auth):
    """A key as one more parameter: in the form where that is posted, else in the address."""

    parameter: str
    secret: Secret

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return (self.secret,)

    def parameters(self) -> list[tuple[str, str]]:
        return [(self.parameter, self.secret.reveal())]
