"""The typed errors of Tollbook, importable from every layer.

    TollbookError                  a person can act on it; its text says where, and what to do
    ├── ConfigError                the configuration or a file of finance's is wrong; nothing was run
    ├── AuthError                  a vendor refused the credentials; never tried again
    ├── TransientError             network or server trouble that outlasted the retries
    ├── QuotaError                 a vendor's request budget is used up
    ├── ContractError              a vendor's response, or a file, is not what is documented
    ├── IntegrityError             what is on disk is not what was written, or does not add up
    ├── SecurityError              something unsafe was refused
    ├── StorageError               the disk, or what is stored on it, fails
    │   └── BusyError              somebody else holds a lock for too long
    └── InternalError              nobody foresaw it: a fault of ours

Cases of these stand where they are raised: of HTTP in ``assets.http.errors``, of a close in ``warehouse.close``, of
FOCUS in ``warehouse.reports.focus``, of erasing in ``pipelines.erase``.

What lives here: one exception per kind of trouble, each saying where it happened (connection, endpoint, window) and
what to do, and the logging of what nobody foresaw. What does not: raising, catching, exit codes (``pipelines.cli``) or
masking (``assets.http.client``).

An error's text never holds a secret, a telephone number or a person's name: the raisers pass only the words below.
"""

import logging
import traceback
from pathlib import Path
from typing import Self

_log = logging.getLogger("tollbook")


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
    """The vendor's response, or a stored file, does not have the documented form."""


class IntegrityError(TollbookError):
    """What was read is not what was written, or a reading never became stable."""


class StorageError(TollbookError):
    """The data directory cannot be read or written: permissions, disk full, input/output error."""


class BusyError(StorageError):
    """Another process holds what is needed for longer than we may wait; says which one."""


class SecurityError(TollbookError):
    """Something tried to move credentials or requests to where they do not belong."""


class InternalError(TollbookError):
    """An error nobody foresaw: a fault of Tollbook's, not of a vendor's. Names the place in the code, never a value."""

    @classmethod
    def of(
        cls, error: Exception, *, connection: str = "", endpoint: str = "", window: str = "", hint: str = "report this"
    ) -> Self:
        """``error`` without its text, which may quote a vendor's data; its frames are logged."""
        frames = _frames(error)
        ours = [frame for frame in frames if "site-packages/" not in frame]
        place = (ours or frames or ["?"])[-1].partition(" ")[0]
        made = cls(
            f"an error nobody foresaw ({type(error).__name__} at {place})",
            connection=connection,
            endpoint=endpoint,
            window=window,
            hint=hint,
        )
        _log.error("%s: %s\n%s", cls.__name__, made, "\n".join(f"    {frame}" for frame in frames))
        return made


def _frames(error: BaseException) -> list[str]:
    """Where an error came by, outermost first, each as ``file:line function``; before it those of what it came of."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    frames = [f"{_file(each.filename)}:{each.lineno} {each.name}" for each in traceback.extract_tb(error.__traceback__)]
    return [*(_frames(before) if before else ()), *frames]


def _file(name: str) -> str:
    """A file of code without the folders of this machine."""
    inside = name.rpartition("site-packages/")
    if inside[1]:
        return inside[1] + inside[2]
    own = Path(__file__).parent
    return str(Path(name).relative_to(own)) if Path(name).is_relative_to(own) else Path(name).name
