"""The typed errors of Tollbook, importable from every layer.

What lives here: one exception per kind of trouble, each saying where it happened (connection, endpoint, window) and
what to do. What does not: raising, catching, exit codes (``pipelines.cli``) or masking (``assets.sources.client``).

An error's text never holds a secret, a telephone number or a person's name: the raisers pass only the words below.
"""


class TollbookError(Exception):
    """Something went wrong that a person can act on.

    ``what`` says what happened, ``hint`` what to do; ``connection``, ``endpoint`` and ``window`` say where.
    """

    def __init__(
        self, what: str, *, connection: str = "", endpoint: str = "", window: str = "", hint: str = ""
    ) -> None:
        self.what = what
        self.connection = connection
        self.endpoint = endpoint
        self.window = window
        self.hint = hint
        super().__init__(what)

    @property
    def kind(self) -> str:
        """The name under which people know it: of the errors here the one that it is a case of."""
        known = (each.__name__ for each in type(self).__mro__ if each.__module__ == __name__)
        return next((name for name in known if name != TollbookError.__name__), type(self).__name__)

    def __str__(self) -> str:
        where = " ".join(part for part in (self.connection, self.endpoint, self.window) if part)
        text = f"{where}: {self.what}" if where else self.what
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), dict(self.__dict__)))


def _restore(kind: type[TollbookError], state: dict[str, str]) -> TollbookError:
    what = state.pop("what")
    return kind(what, **state)


class ConfigError(TollbookError):
    """The configuration is wrong or a secret is missing; nothing was run. Names the key, never its value."""


class AuthError(TollbookError):
    """The vendor refused the credentials. Never retried: repeated attempts lock accounts."""


class QuotaError(TollbookError):
    """The vendor's budget is used up for longer than we may wait; says when to resume."""


class TransientError(TollbookError):
    """Network or server trouble that outlasted the retries inside the deadline."""


class ContractError(TollbookError):
    """The vendor's answer, or a stored file, does not have the documented form."""


class IntegrityError(TollbookError):
    """What was read is not what was written, or a reading never became stable."""


class StorageError(TollbookError):
    """The data directory cannot be read or written: permissions, disk full, input/output error."""


class SecurityError(TollbookError):
    """Something tried to move credentials or requests to where they do not belong."""
