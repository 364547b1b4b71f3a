"""Exact JSON: a vendor's response becomes exactly the values that it spells, or it is refused.

What lives here: decoding and parsing with bounds. Numbers with a point or an exponent become ``Decimal``, whole numbers
``int``. What does not: what the values mean (the vendor modules).

Refused, each in time linear in the response's size: anything that is not JSON (``NoJson``: another try may bring some),
and JSON that cannot be trusted however often it comes: repeated keys, NaN and Infinity, numbers beyond ``MAX_DIGITS``,
nesting beyond ``MAX_DEPTH``, more values than ``MAX_VALUES``, texts beyond ``MAX_TEXT``, halves of surrogate pairs. A
value takes many times the memory of what spells it, so these bound what a response can take.
"""

import json
import re
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from typing import Any, NoReturn

from tollbook_errors import ContractError

MAX_DEPTH = 200
MAX_DIGITS = 400  # of a number as written, and of its exponent's size
MAX_VALUES = 250_000  # ten times what the fullest page of any vendor holds
MAX_TEXT = 500_000  # bytes of one text as written: 40,000 letters of any kind, however they are escaped

# Texts of at most MAX_TEXT, and what is between them; it ends where one is longer, or where the last has no end.
_TEXTS = re.compile(rb'(?:[^"]*+"[^"]{0,%d}+")*+[^"]*+' % MAX_TEXT)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS = bytes.maketrans(b"{}", b"[]")
_NO_MARKS = bytes(sorted(set(range(256)) - set(b'{}[]"')))


class NoJson(ContractError):
    """What came is no JSON: nothing, a web page, words before or after it, or JSON that ends in the middle."""


class _Refused(Exception):
    """Why a value is refused, in words without the value."""


def decode(raw: bytes, **where: str) -> str:
    """The text of a response: UTF-8 without a byte order mark. ``where``: connection, endpoint, window of the error.

    Raises NoJson for any other encoding, and ContractError for a text beyond ``MAX_TEXT``: before any of it takes more
    room.
    """
    if len(raw) > MAX_TEXT and raw[:1000].lstrip()[:1] != b"<" and _long_text(raw):
        raise ContractError(f"the response holds a text of more than {MAX_TEXT} bytes", **where)
    text: str | None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise NoJson("the response is not UTF-8", **where)
    return text.removeprefix("\ufeff")


def _long_text(raw: bytes) -> bool:
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"..").replace(b'\\"', b"..")
    found = _TEXTS.match(raw)
    return found is not None and len(raw) - found.end() > MAX_TEXT + 1


def loads(text: str, **where: str) -> Any:
    """The value that ``text`` spells, exactly. ``where``: connection, endpoint, window of the error.

    Raises NoJson where it spells none, and ContractError where it spells one that is refused.
    """
    value, problem = None, _bound_problem(text)
    garbled = _not_json(text)
    if problem is None and garbled is None:
        deepest, cut = _nesting(text)
        if deepest > MAX_DEPTH:
            problem = f"the response is nested more than {MAX_DEPTH} deep"
        else:
            value, problem, garbled = _parse(text)
            if cut and (problem or garbled) and text[:1000].lstrip()[:1] in {"{", "["}:
                garbled = "the response ends in the middle"
    # Raised here and not where it was met: a parser's exception carries the whole text with it.
    if garbled is not None:
        raise NoJson(garbled, **where)
    if problem is not None:
        raise ContractError(problem, **where)
    return value


def dumps(value: Any) -> str:
    """JSON that keeps every digit: ``loads`` gives the same value again."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {dumps(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dumps(inner) for inner in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _parse(text: str) -> tuple[Any, str | None, str | None]:
    """The value, else why it is refused, else why there is none."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_constant,
        )
        # A single letter is found many times faster than two.
        if "\\" in text and "\\u" in text and _SURROGATE.search(text):
            # Only a whole pair can be encoded.
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except _Refused as refused:
        return None, str(refused), None
    except UnicodeEncodeError:
        return None, "the response holds half a surrogate pair", None
    except RecursionError:
        return None, "the response is nested too deep", None
    except ValueError:
        return None, None, "the response is not JSON"
    return value, None, None


def _not_json(text: str) -> str | None:
    start = text[:1000].lstrip()[:1]
    if not start and not text.strip():
        return "the response is empty"
    return "the response is not JSON (it looks like an HTML page)" if start == "<" else None


def _bound_problem(text: str) -> str | None:
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        return f"the response holds more than {MAX_VALUES} values"
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the response holds half a surrogate pair"
    return None


def _nesting(text: str) -> tuple[int, bool]:
    """How deep brackets are nested, and whether the text ends inside a bracket or a string.

    Strings fall out by the parity of quotes before a bracket, which taking out an adjacent pair of quotes keeps.
    """
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    marks = text.encode("utf-8").translate(_MARKS, _NO_MARKS).replace(b'""', b"")
    if len(marks) > 2 * MAX_VALUES:
        return MAX_DEPTH + 1, False
    strings_out = marks.split(b'"')
    brackets = b"".join(strings_out[::2])
    flat = brackets.replace(b"[]", b"")
    if len(flat) < MAX_DEPTH:
        # As nearly always: what holds no other goes, and takes one level with it.
        depths = list(accumulate(map((92).__sub__, flat), initial=0))
        return max(depths) + (flat != brackets), depths[-1] > 0 or len(strings_out) % 2 == 0
    # "[" is 91 and "]" is 93.
    depths = list(accumulate(map((92).__sub__, brackets), initial=0))
    return max(depths), depths[-1] > 0 or len(strings_out) % 2 == 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("an object in the response has a key twice")
    return value


@lru_cache(maxsize=10_000)  # scores and prices repeat
def _decimal(text: str) -> Decimal:
    if len(text) <= MAX_DIGITS:
        try:
            value = Decimal(text)
        except ArithmeticError:
            raise _Refused("a number in the response is out of bounds") from None
        if value.is_finite() and abs(value.adjusted()) <= MAX_DIGITS:
            return value
    raise _Refused("a number in the response is out of bounds")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Refused("a number in the response is out of bounds")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise _Refused("the response holds NaN or Infinity")
