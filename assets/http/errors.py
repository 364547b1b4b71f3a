"""What can go wrong with a request, beside the errors that all of Tollbook knows (``tollbook_errors``).

    TollbookError
    ├── AuthError                  the vendor refused the credentials
    │   ├── Forbidden              403: it knows who asks, and does not allow this
    │   └── Unauthorized           401 to a request whose caller can tell what it means
    ├── TransientError             network and server trouble that outlasted the retries
    │   └── ServerError            the server is there, and answers with an error of its own
    ├── ContractError              the response is not what is documented
    │   ├── HttpStatusError        a status that the request does not allow for
    │   ├── Refused                an error of the vendor's that is not about the credentials
    │   └── strict_json.NoJson     a body that is no JSON
    └── QuotaError
        └── rate_limit.QuotaExhausted

    RetryableError                 one try failed and another can mend it: never leaves the client

What lives here: these classes, and what a vendor's own word that it has no such thing is. What does not: when which is
raised (``client``, ``transport``, the vendors' ``api``).
"""

from collections.abc import Callable
from typing import TypeVar

from tollbook_errors import AuthError, ContractError, TollbookError, TransientError

_T = TypeVar("_T")

_NOT_OFFERED = frozenset({404, 405, 406, 410, 501})  # statuses of what a release does not have


class HttpStatusError(ContractError):
    """The vendor answered with a status that the request does not allow for."""

    def __init__(
        self, what: str, *, status: int, connection: str = "", endpoint: str = "", window: str = "", hint: str = ""
    ) -> None:
        super().__init__(what, connection=connection, endpoint=endpoint, window=window, hint=hint)
        self.status = status


class Forbidden(AuthError):
    """The vendor knows who asks, and does not allow it (403); other things it may allow."""


class ServerError(TransientError):
    """The server is there, and its response is an error of its own (5xx) however often it is asked."""


class Unauthorized(AuthError):
    """A 401 to a request whose caller can tell what it means: nothing was remembered of it."""


class Refused(ContractError):
    """The vendor answered with an error that is not about the credentials themselves."""


class RetryableError(Exception):
    """An exchange failed in a way that another try can mend. Its text is fit for people and holds nothing private.

    ``garbled``: the response arrived but is damaged, which too many tries in a row show to be its nature.
    ``answered``: the server is there, and answered with an error of its own.
    ``unanswered``: nothing came within the time for one wait. ``not_before``: seconds that the server asked to be left
    alone.
    """

    def __init__(
        self,
        what: str,
        *,
        garbled: bool = False,
        answered: bool = False,
        unanswered: bool = False,
        not_before: float = 0.0,
    ) -> None:
        super().__init__(what)
        self.garbled = garbled
        self.answered = answered
        self.unanswered = unanswered
        self.not_before = not_before


def if_available(read: Callable[[], _T]) -> _T | None:
    """What ``read`` gives; None where the vendor has no such thing, or keeps it from this account."""
    try:
        return read()
    except (Forbidden, ContractError) as error:
        if not is_not_offered(error):
            raise
        return None


def is_not_offered(error: TollbookError) -> bool:
    """Whether this is the vendor's own word that it has no such thing, or keeps it from this account."""
    if isinstance(error, HttpStatusError):
        return error.status in _NOT_OFFERED
    return isinstance(error, (Forbidden, Refused))
