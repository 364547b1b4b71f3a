"""Erased telephone numbers, taken out of whatever a vendor says.

What lives here: finding a number of the register in a text or a response, in any way of writing it, and what stands in
its place; taking all of them out of what was landed. What does not: the register (``warehouse.erasure_register``), the
command.

In the place of a number stands what normalising still needs of it (``phone.erased``): its country and its kind, so that
a call is counted where it was. Two erased numbers of one country and kind cannot be told apart.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assets.http import strict_json
from assets.phone import dialled_number, erased, read_number
from assets.stream import Progress, Window
from tollbook_errors import ContractError
from warehouse.erasure_register import Erasure, Register
from warehouse.lake import Lake

_BETWEEN = r"[ \u00a0.\-/()]{0,3}"
_RUN = re.compile(rf"[0-9](?:{_BETWEEN}[0-9]){{5,}}")
_ESCAPED = "\\u00"  # a digit or a plus can be written so
# Columns and fields whose digits are no telephone number, though they could be those of one.
_NEVER = frozenset(
    {
        *("id", "uri", "native_id", "linked_id", "callid", "linkedid", "unique id"),
        *("date/time", "created", "callstarted", "validfrom", "validto", "started_at", "fetched_at"),
        *("duration", "total duration", "rating duration", "billing duration"),
        *("cost", "rating cost", "billing cost", "mos"),
    }
)


class Eraser:
    """Takes the numbers of a register out of texts; ``region``: ISO 3166 country in which national ones are read.

    ``outside_line``: the digits that are dialled before an outside number.
    """

    def __init__(
        self, digest: Callable[[str], str], known: Sequence[Erasure], region: str, outside_line: str = ""
    ) -> None:
        self._digest = digest
        self._region, self._outside_line = region, outside_line
        self._by_digest = {e.international: e for e in known} | {e.national: e for e in known}
        self._lengths = sorted({length for e in known for length in e.digits}, reverse=True)
        self._known: dict[str, Erasure | None] = {}
        self.numbers = frozenset(e.id for e in known)

    def holds(self, text: str) -> bool:
        return self.text(text) != text

    def text(self, text: str) -> str:
        """The text with every erased number replaced."""
        parts, done = [], 0
        for run in _RUN.finditer(text):
            for start, end, number in self._found(text, run.start(), run.end()):
                if start >= done:
                    parts += [text[done:start], number]
                    done = end
        return "".join([*parts, text[done:]]) if parts else text

    def body(self, body: str) -> str:
        """A response without the numbers: letter for letter as it came where it holds none."""
        if not (_ESCAPED in body or self.holds(body)):
            return body
        try:
            payload = strict_json.loads(body)
        except ContractError:
            return self.text(body)
        cleaned = self._value(payload)
        return body if cleaned == payload else strict_json.dumps(cleaned)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return self.text(str(value)) if self.holds(str(value)) else value
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, dict):
            cleaned = {k: v if k.lower() in _NEVER else self._value(v) for k, v in value.items()}
            if isinstance(value.get("header"), list) and isinstance(value.get("csv"), list):
                cleaned["csv"] = self._rows(value["header"], value["csv"])
            return cleaned
        return value

    def _rows(self, header: list[Any], rows: list[Any]) -> list[Any]:
        """Rows whose columns the header names."""
        never = {n for n, name in enumerate(header) if str(name).strip().lower() in _NEVER}
        return [
            [cell if n in never else self._value(cell) for n, cell in enumerate(row)]
            if isinstance(row, list)
            else self._value(row)
            for row in rows
        ]

    def _found(self, text: str, first: int, last: int) -> list[tuple[int, int, str]]:
        """Where in a run of digits numbers begin and end, and what is to stand there."""
        places = [n for n in range(first, last) if text[n] in "0123456789"]
        digits = "".join(text[n] for n in places)
        found: list[tuple[int, int, str]] = []
        for count, place in enumerate(places, 1):
            if count < len(places) and places[count] == place + 1:
                continue  # a number ends where digits do
            ways = []
            for length in self._lengths:
                erasure = self._entry(digits[count - length : count]) if length <= count else None
                if erasure is not None:
                    for start in self._beginnings(text, places[count - length], place + 1, erasure.calling_code):
                        replaced = self._accepted(text[start : place + 1], erasure)
                        if replaced is not None:
                            ways.append((start, place + 1, replaced))
                            break
            # "Sales 44 (7700 900123)": a number that takes half a pair of brackets with it is cut in the wrong place.
            whole = [way for way in ways if text.count("(", *way[:2]) == text.count(")", *way[:2])]
            found += (whole or ways)[:1]
        return found

    def _beginnings(self, text: str, start: int, end: int, calling_code: str) -> Iterator[int]:
        """Where a number can begin that ends at ``end``: behind what is dialled before it, else with that."""
        first = start
        while first and text[first - 1] in "*#+0123456789":
            first -= 1
        dialled = text[first:end]
        for outside_line in (self._outside_line, ""):
            number = dialled_number(dialled, self._region, outside_line)
            if number != dialled:
                yield end - len(number)
        yield _beginning(text, start, calling_code)

    def _entry(self, digits: str) -> Erasure | None:
        if digits not in self._known:
            if len(self._known) > 500_000:
                self._known.clear()
            self._known[digits] = self._by_digest.get(self._digest(digits))
        return self._known[digits]

    def _accepted(self, written: str, erasure: Erasure) -> str | None:
        """What stands for a number as written; None where it is another one that only ends with the same digits."""
        own, here = read_number(written, erasure.region), read_number(written, self._region)
        for number in (own, here):
            if number.e164 and self._digest(number.e164.lstrip("+")) != erasure.international:
                return None
            if number.e164:
                break
        # Written as at home it was read at home: by a tenant in that country. Else it was read as everything here is.
        digits = re.sub("[^0-9]", "", written).lstrip("0")
        return erased(own if len(digits) == erasure.digits[1] else here)


def _beginning(text: str, start: int, calling_code: str) -> int:
    """Where the number begins that has digits from ``start`` on: with what is dialled or written before them."""
    while start and text[start - 1] in "0123456789":
        start -= 1
    area = r"\(" if re.match(r"[0-9]+\)[ .\-]*[0-9]", text[start:]) else ""  # (020) 7946 …, and not: Mary (020…)
    written = rf"(?:(?<![0-9])(?:\+|00[ .\-/]?)?{calling_code}[ \u00a0.\-/]*(?:\(0\)[ \u00a0.\-/]*)?|\+)?{area}$"
    before = re.search(written, text[max(0, start - 24) : start])
    return start - len(before[0]) if before else start


def eraser(data_dir: Path, region: str, outside_line: str) -> Eraser | None:
    """What takes the erased numbers out of a connection's responses; None when none was ever erased."""
    register = Register(data_dir)
    known = register.read()
    return Eraser(register.digest, known, region, outside_line) if known else None


def scrub(lake: Lake, dialling: Mapping[str, tuple[str, str]], watch: Callable[[Progress], None]) -> None:
    """Take every erased number out of what was landed, so that a backup put back brings none; none: nothing to do.

    ``dialling``: by connection, the ISO 3166 country its national numbers are of, and the digits for an outside line.
    The caller holds ``lake.writing``.
    """
    windows = [window for window in lake.raw.windows() if window[0] in dialling]
    cleaners = {way: eraser(lake.data_dir, *way) for way in sorted(set(dialling.values()))}
    for number, window in enumerate(windows):
        connection, stream, first, last = window
        cleaner = cleaners[dialling[connection]]
        if cleaner is not None:
            watch(Progress(connection, stream, str(Window(first, last)), number, len(windows), 0))
            lake.raw.rewrite_responses(window, cleaner.body)
