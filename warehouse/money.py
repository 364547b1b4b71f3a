"""Money as the vendors write it.

What lives here: reading an amount or a currency exactly, or not at all, the smallest coin of every currency, and how
SQL divides amounts. What does not: sums and rates (SQL), or which amount is meant (the vendor modules). Amounts are
Decimal with at most six places, as ``schema.MONEY`` holds them.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import duckdb
from duckdb.func import FunctionNullHandling
from duckdb.sqltypes import VARCHAR

PLACES = Decimal("0.000001")
_AMOUNT = re.compile("[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?")
_LONGEST = 400  # characters
# The places of a currency's smallest coin where they are not two: ISO 4217, list one as published on 2026-01-01. (What
# ledgers and vendors go by; CLDR's digits are for display, and differ.)
_BY_PLACES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_PLACES = {code: places for places, codes in _BY_PLACES.items() for code in codes.split()}
_COINS = " ".join(f"WHEN '{code}' THEN {10 ** (6 - places)}" for code, places in _PLACES.items())
# Macros for DuckDB. An amount is divided as a whole number of millionths: micros, and back; mean_of rounds once, half
# up (away from zero). coin is a currency's smallest coin in millionths.
MACROS = f"""
CREATE OR REPLACE TEMP MACRO micros(amount) AS
    CAST(CAST(amount AS DECIMAL(24, 6)) * CAST(1000000 AS DECIMAL(7, 0)) AS HUGEINT);
CREATE OR REPLACE TEMP MACRO of_micros(number) AS
    CAST(CAST(number AS DECIMAL(24, 0)) * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(18, 6));
CREATE OR REPLACE TEMP MACRO mean_of(total, number) AS
    of_micros(sign(micros(total)) * ((2 * abs(micros(total)) + number) // (2 * number)));
CREATE OR REPLACE TEMP MACRO coin(currency) AS
    CASE currency {_COINS} ELSE 10000 END;
"""
_LARGEST = Decimal(10) ** 12
_SYMBOLS = {
    "€": "EUR",
    "£": "GBP",
    "zł": "PLN",
    "₤": "GBP",
    "¥": "JPY",
    "kr": None,
    "$": None,
    "US$": "USD",
    "A$": "AUD",
}


# Signs of several currencies: one of them is meant where it is the one that is expected.
_SHARED = {
    "$": {"AUD", "CAD", "HKD", "MXN", "NZD", "SGD", "TWD", "USD"},
    "kr": {"DKK", "ISK", "NOK", "SEK"},
    "¥": {"CNY", "JPY"},
}
_WRITTEN = re.compile(r"([+-]?)\s*(\D*?)\s*([+-]?)\s*([.,]?[0-9][0-9.,'’\s]*)(\D*)")


def money(value: Any) -> Decimal | None:
    """An amount given as a JSON number or as text; None for what is empty, absent, not an amount or too large.

    More than six places are rounded half up, as DuckDB does: who computes in binary floats sends 0.30000000000000004.
    """
    if value is None or isinstance(value, (bool, float)):
        return None
    text = str(value).strip()
    if len(text) > _LONGEST or not _AMOUNT.fullmatch(text):
        return None
    amount = Decimal(text)
    if abs(amount) >= _LARGEST:
        return None
    with localcontext(prec=30):
        rounded = amount.quantize(PLACES, rounding=ROUND_HALF_UP)
    return rounded if abs(rounded) < _LARGEST else None


def written_amounts(values: Sequence[Any], currency: str | None) -> list[Decimal | None]:
    """What ``money`` reads of a column's values, and of texts as people write them: with a sign of ``currency`` before
    or behind, groups of thousands, a decimal comma.

    A point or comma before three digits can be either, and is what the column's other texts show it to be; where they
    do not, a point is decimal and with a comma it is no amount.
    """
    bare = [_bare(value, currency) if isinstance(value, str) else None for value in values]
    marks = {mark for text in bare if (mark := _decimal_mark(text or ""))}
    usual = marks.pop() if len(marks) == 1 else "" if marks else None
    return [money(value) if text is None else _read(text, usual) for value, text in zip(values, bare, strict=True)]


def _bare(text: str, currency: str | None) -> str | None:
    """An amount without the sign of ``currency`` and blanks; None where it is no such text."""
    found = _WRITTEN.fullmatch(text.strip())
    if not found or len(text) > _LONGEST:
        return None
    sign, before, other_sign, number, after = (part.strip() for part in found.groups())
    if (before and after) or (sign and other_sign):
        return None
    if (name := before or after) and currency != currency_code(name) and currency not in _SHARED.get(name, ()):
        return None
    return sign + other_sign + re.sub(r"(?<=[0-9])['’\s](?=[0-9]{3}(?![0-9]))", "", number)


def _decimal_mark(text: str) -> str | None:
    """The decimal point or comma of an amount where its form leaves no doubt."""
    marks: list[str] = re.findall("[.,]", text)
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:  # several of one kind stand between thousands
        return "." if marks[0] == "," else ","
    grouped = re.fullmatch("[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}", text)
    return marks[0] if marks and not grouped else None


def _read(text: str, usual: str | None) -> Decimal | None:
    """``usual``: the decimal mark of the column; None where nothing shows it, "" where both are."""
    mark = _decimal_mark(text) or usual or ("." if usual is None and "," not in text else "")
    if not mark:
        return None if re.search("[.,]", text) else money(text)
    thousands = "," if mark == "." else "."
    if not re.fullmatch(rf"[+-]?([0-9]*|[0-9]{{1,3}}([{thousands}][0-9]{{3}})+)([{mark}][0-9]*)?", text):
        return None
    return money(text.replace(thousands, "").replace(",", "."))


def coin_places(currency: str | None) -> int:
    """How many decimal places a currency's smallest coin has: two, unless ISO 4217 gives it others."""
    return _PLACES.get(currency or "", 2)


def in_coins(amount: Decimal, currency: str | None, more: int = 0) -> Decimal:
    """``amount`` rounded half up, as a bill is, to the currency's smallest coin, or to ``more`` places than that."""
    with localcontext(prec=200):
        return amount.quantize(Decimal(1).scaleb(-coin_places(currency) - more), ROUND_HALF_UP)


def currency_code(value: Any) -> str | None:
    """The ISO 4217 code of a code or an unambiguous symbol; None for anything else ($ is many currencies)."""
    text = str(value or "").strip()
    if re.fullmatch(r"[A-Za-z]{3}", text):
        return text.upper()
    return _SYMBOLS.get(text)


def add_amount_of(con: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the macro ``amount_of(text)``, which reads what ``money`` reads."""
    con.create_function("exact_amount", money, [VARCHAR], "DECIMAL(18, 6)", null_handling=FunctionNullHandling.SPECIAL)
    # Nearly all are plain and of usual length, and are cast a hundred times faster than Python reads them.
    con.execute("""
        CREATE MACRO amount_of(text) AS CASE
            WHEN regexp_full_match(text, '[+-]?[0-9]{1,12}([.][0-9]{0,20})?')
                THEN try_cast(CAST(text AS DECIMAL(38, 20)) AS DECIMAL(18, 6))
            WHEN text <> '' THEN exact_amount(text) END
    """)
