"""Answers gone wrong: one change at random to what a vendor said, in its bytes or in its values.

What lives here: ``mutated``, which makes any body into another one. What does not: whose body, and what must come of it
(the tests). Every mutant follows from the generator's seed alone.
"""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any


class Spelt(str):
    """JSON that is written as it stands: what no value of Python spells."""

    __slots__ = ()


class Doubled(dict[str, Any]):
    """An object that says its first key twice."""


# What may stand where a value stood: of another type, too big, too deep, not finite, or fit to break out of the name of
# a file, a query, a cell or a terminal.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "0", 0, -1, 10**12, 10**30, -0.0, [], {}, [[]], [None], {"": None}),
    *("true", "false", "null", "NaN", "-5", "+5", " 5 ", "5,00", "1e3", "0x10", "٥", "12:34:56", "0.10000000000000005"),
    *("=cmd()", "../../etc/passwd", "/etc/passwd", "x" * 300, "x" * 40_000, "a\x00b", "\x1b[2J", "\u202e", "';--"),
    *("9" * 400, "0000-00-00", "2026-02-30", "99999999999", "1969-12-31T23:59:59Z", "anonymous", "Name <>", "((("),
    *(Spelt(text) for text in ("NaN", "-Infinity", "1e9999999", "1E-9999999", "01", "1.", "--1", "'x'", "undefined")),
    *(Spelt(text) for text in ("9" * 5_000, "0." + "1" * 5_000, '"\\ud800"', '"\\u0000"', '"\\x"', "1e400", "1e-400")),
    *(Spelt(text) for text in ("[" * 100_000, "[" * 199 + "]" * 199, "0.10000000000000005", "-0", "1.000000000")),
)  # fmt: skip


def mutated(body: bytes, random_: random.Random) -> bytes:
    """``body`` with one to three changes; now and then unchanged by them."""
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        body = _in_values(body, random_) if random_.random() < 0.75 else _in_bytes(body, random_)
    return body


def _in_bytes(body: bytes, random_: random.Random) -> bytes:
    at, to = sorted(random_.randrange(len(body) + 1) for _ in range(2))
    few = min(to, at + random_.randrange(1, 40))
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: body[:at],
        lambda: body[at:to],
        lambda: body[:at] + body[few:],
        lambda: body[:few] + body[at:],
        lambda: body[:at] + bytes([random_.randrange(256)]) + body[at:],
        lambda: body[:at] + bytes([body[at] ^ 1 << random_.randrange(8)]) + body[at + 1 :] if at < len(body) else b"",
        lambda: body + body,
        lambda: b"\xef\xbb\xbf" + body,
        lambda: body.decode(errors="replace").encode("utf-16"),
        lambda: body.decode(errors="replace").encode("cp1250", errors="replace"),
        lambda: b"<!DOCTYPE html><title>Sign in</title>" + body[:at],
        lambda: b"\n<b>Notice</b>: Undefined index\n" + body,
    )
    return random_.choice(changes)()


def _in_values(body: bytes, random_: random.Random) -> bytes:
    try:
        said = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return _in_bytes(body, random_)
    holder = {"": said}
    parent, key = random_.choice(_places(holder))
    _CHANGES[random_.randrange(len(_CHANGES))](parent, key, random_)
    try:
        return _spell(holder.get("")).encode("utf-8", errors="surrogatepass")
    except RecursionError:
        return body[: len(body) // 2]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every value by what holds it and where."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        holder = todo.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                todo.append(holder[key])
    return found


def _replace(holder: Any, key: Any, random_: random.Random) -> None:
    holder[key] = random_.choice(_VALUES)


def _other_form(holder: Any, key: Any, random_: random.Random) -> None:
    """A number as text, a text as a number, an object as the list of its values, and back."""
    value = holder[key]
    if isinstance(value, dict):
        holder[key] = list(value.values())
    elif isinstance(value, list):
        holder[key] = {str(number): each for number, each in enumerate(value)}
    elif isinstance(value, str):
        holder[key] = Spelt(value) if value.replace(".", "", 1).isdigit() and not value.startswith("0") else [value]
    else:
        holder[key] = str(value)


def _remove(holder: Any, key: Any, random_: random.Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, random_: random.Random) -> None:
    if isinstance(holder, dict):
        holder[random_.choice((str(key).upper(), str(key) + "s", "", "error", "x" * 300))] = holder.pop(key)
    else:
        holder.append(holder.pop(key))


def _repeat(holder: Any, key: Any, random_: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(random_.randrange(len(holder) + 1), holder[key])
    else:
        value = holder[key]
        holder[key] = Doubled(value) if isinstance(value, dict) and value else [value]


def _shuffle(holder: Any, key: Any, random_: random.Random) -> None:
    value = holder[key]
    if isinstance(value, list):
        random_.shuffle(value)
    elif isinstance(value, dict):
        keys = list(value)
        random_.shuffle(keys)
        holder[key] = {each: value[each] for each in keys}
    else:
        _replace(holder, key, random_)


def _digit(holder: Any, key: Any, random_: random.Random) -> None:
    """Another figure that looks as good."""
    value = holder[key]
    text = str(value)
    digits = [place for place, sign in enumerate(text) if sign.isdigit()]
    if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) and digits:
        at = random_.choice(digits)
        changed = text[:at] + str(random_.randrange(1, 10)) + text[at + 1 :]
        holder[key] = changed if isinstance(value, str) else Spelt(changed)
    else:
        _replace(holder, key, random_)


_CHANGES = (_replace, _replace, _replace, _other_form, _remove, _rename, _repeat, _shuffle, _digit)


def _spell(value: Any) -> str:
    if isinstance(value, Spelt):
        return str(value)
    if isinstance(value, dict):
        entries = [f"{_spell(str(key))}:{_spell(each)}" for key, each in value.items()]
        return "{" + ",".join(entries[:1] + entries if isinstance(value, Doubled) else entries) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spell, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)
