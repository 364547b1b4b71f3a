"""The rows of TIM4biz's responses that add up others, and so are no extensions of their own.

What lives here: finding them by their words and by their figures. What does not: reading the figures (``totals``).
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import reduce
from typing import Any

from assets.tim4biz.durations import DURATION, last_place

Rows = list[dict[str, Any]]
COUNTS = ("calls", "incoming", "outgoing")
# Words that name a row of totals, in the languages of those who use TIM4biz.
_TOTAL_WORDS = (
    "totals?|subtotals?|totale|totali|totaux|totaal|totales|totalt|sum|sums|somme|summe|gesamt|gesamtsumme|insgesamt|"
    "zwischensumme|suma|razem|summa|viso|toplam|итого|всего|合計|总计|總計"
)
_NAMES_TOTALS = re.compile(rf"\b(?:{_TOTAL_WORDS})\b", re.IGNORECASE)
_IS_TOTALS = re.compile(rf"(?:(?:grand|sub|overall|iš|all|{_TOTAL_WORDS})[\s:.-]*)+", re.IGNORECASE)
_FIGURES = (*COUNTS, *DURATION, "cost")
_Sums = dict[str, Decimal]


def sums_of_others(rows: Rows) -> set[int]:
    """The numbers of those rows that add up others, and so are no extensions of their own.

    A row can be one only where its extension is empty or a word, or it is called a total. Its figures must be the sum
    of all other rows, or of rows with numbers that follow each other before or behind it (a group). Under a word that
    is not known to mean totals, the row must add up several rows, and more than their calls: an extension may have a
    name.
    """
    ranks = [_rank(row) for row in rows]
    maybe = sorted((number for number, rank in enumerate(ranks) if rank), key=lambda number: -ranks[number])
    upto = [_total([])]
    if not maybe:
        return set()
    for row, rank in zip(rows, ranks, strict=True):
        upto.append(upto[-1] if rank else _added(upto[-1], row))
    places = {name: last_place(row[name] for row in rows if row[name] is not None) for name in ("number", "cost")}
    edges = list({upto[edge]["rows"]: edge for edge in (0, len(rows), *maybe)}.values())  # between different runs
    found: set[int] = set()

    def adds_up(number: int, sums: _Sums, without: Mapping[str, Any]) -> bool:
        row, others = rows[number], sums["rows"] - without.get("rows", 1)
        # Calls are never rounded: where they are equal, amounts may be off in the last place of each.
        counted = row["calls"] is not None
        for name in _FIGURES:
            if row[name] is None:
                continue
            off = places[name] * (others + 1) if counted and name in places and places[name] < 1 else 0
            if abs(row[name] - sums[name] + (without[name] or 0)) > off:
                return False
        if ranks[number] > 1:
            return any(row[name] is not None for name in _FIGURES)
        return bool((others > 1 or found) and _weighs(row))

    while True:
        before = len(found)
        left = [number for number in maybe if number not in found]
        everything = _total(row for number, row in enumerate(rows) if number not in found)
        for number in left:
            if adds_up(number, everything, rows[number]):
                return found | {number}
        for number in left:
            runs = ((upto[max(number, edge)], upto[min(number, edge)]) for edge in edges)
            if any(last["rows"] > first["rows"] and adds_up(number, last, first) for last, first in runs):
                found.add(number)
        words = [number for number in left if ranks[number] == 1 and number not in found]
        together = _total(rows[number] for number in words)
        if len(words) > 1 and _weighs(together) and together | {"rows": upto[-1]["rows"]} == upto[-1]:
            found.update(words)  # the groups of all rows with numbers, wherever they stand
        if len(found) == before:
            return found


def no_extension(extension: str) -> str | None:
    """Why a row that adds up no others is no extension all the same; None where it is one."""
    if not extension:
        return "there is no extension"
    return "a row of totals that is not the sum of other rows" if _NAMES_TOTALS.search(extension) else None


def _rank(row: dict[str, Any]) -> int:
    """How much a row looks like a total: 3 is called one, 2 has no extension, 1 has a word for it, 0 does not."""
    extension, name = row["extension"], (row["name"] or "").strip()
    if _NAMES_TOTALS.search(extension) or _IS_TOTALS.fullmatch(name):
        return 3
    return 2 if not extension else 0 if re.search(r"\d", extension) else 1


def _weighs(row: Mapping[str, Any]) -> bool:
    """Whether a row has more to compare than calls: small numbers of calls are often the sum of others by chance."""
    return any(row[name] for name in (*DURATION, "cost"))


def _total(rows: Iterable[Mapping[str, Any]]) -> _Sums:
    """The sum of each figure of these rows, and how many they are."""
    return reduce(_added, rows, dict.fromkeys((*_FIGURES, "rows"), Decimal(0)))


def _added(sums: _Sums, row: Mapping[str, Any]) -> _Sums:
    return {name: amount + (row.get(name, 1) or 0) for name, amount in sums.items()}
