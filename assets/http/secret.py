"""Secrets, and keeping them out of every text.

What lives here: the holder of a secret, the masking of texts, and a logging filter that masks. What does not: where
secrets come from (``pipelines.secret_source``) and how they are sent (``auth``).
"""

import base64
import hmac
import html
import json
import logging
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

MASK = "***"
_FORMATTER = logging.Formatter()


class Secret:
    """A secret value that shows as ``***`` wherever it is printed, and cannot be pickled.

    ``origin`` says where it came from, such as ``env:PBXWARE_API_KEY``; it is no secret.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str = "") -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """The value itself: only for sending it to its vendor and for masking it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode("utf-8", "replace"), other._value.encode("utf-8", "replace"))

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is never pickled")


def masked(text: str, secrets: Iterable[Secret]) -> str:
    """``text`` with every secret masked, in each of its ``spellings``."""
    for spelling in spellings(secrets):
        text = text.replace(spelling, MASK)
    return text


def spellings(secrets: Iterable[Secret]) -> tuple[str, ...]:
    """The secrets plain, URL-encoded, in base64, and escaped as JSON, Python or HTML write them.

    The longest first: one spelling can be a part of another.
    """
    found = {spelling for secret in secrets for spelling in _spellings(secret.reveal())}
    return tuple(sorted(found, key=lambda spelling: (-len(spelling), spelling)))


def basic_token(username: Secret, password: Secret) -> Secret:
    """What follows ``Basic`` in an Authorization header; as secret as the password in it."""
    pair = f"{username.reveal()}:{password.reveal()}"
    return Secret(base64.b64encode(pair.encode()).decode("ascii"), password.origin)


class MaskSecrets(logging.Filter):
    """A filter for log handlers: masks the message and the traceback of every record that passes, for all handlers."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        super().__init__()
        self.secrets = frozenset(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record; every record passes."""
        record.msg, record.args = masked(record.getMessage(), self.secrets), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = masked(record.exc_text, self.secrets)
        # Handlers that draw tracebacks themselves would show the exception as it was.
        record.exc_info = None
        if record.stack_info:
            record.stack_info = masked(record.stack_info, self.secrets)
        return True


def _spellings(value: str) -> set[str]:
    if not value:
        return set()
    raw = value.encode("utf-8", "replace")
    percent = {quote(raw), quote(raw, safe=""), quote_plus(raw)}
    encoded = {base64.b64encode(raw).decode("ascii"), base64.urlsafe_b64encode(raw).decode("ascii")}
    return {
        value,
        *percent,
        *(_lower_escapes(text) for text in percent),
        *encoded,
        *(text.rstrip("=") for text in encoded),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(value).replace("/", "\\/")[1:-1],
        repr(value)[1:-1],
        html.escape(value),
    }


def _lower_escapes(text: str) -> str:
    """``%2F`` as ``%2f``: both spellings are in use."""
    head, *escaped = text.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in escaped)
