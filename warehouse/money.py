"""Money as the vendors write it.

What lives here: reading an amount or a currency exactly, or not at all, and how SQL divides amounts. What does not:
sums and rates (SQL), or which amount is meant (the vendor modules). Amounts are Decimal with at most six places, as
``schema.MONEY`` holds them.
"""

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import duckdb
from duckdb.func import FunctionNullHandling
from duckdb.sqltypes import VARCHAR

PLACES = Decimal("0.000001")
_AMOUNT = re.compile("[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?")
_LONGEST = 400  # characters
# Macros for DuckDB. An amount is divided as a whole number of millionths: micros, and back; mean_of rounds once, half
# up (away from zero). coin is a currency's smallest coin, by ISO 4217: a hundredth, but for those without one and those
# of a thousandth.
MACROS = """
CREATE OR REPLACE TEMP MACRO micros(amount) AS
    CAST(CAST(amount AS DECIMAL(24, 6)) * CAST(1000000 AS DECIMAL(7, 0)) AS HUGEINT);
CREATE OR REPLACE TEMP MACRO of_micros(number) AS
    CAST(CAST(number AS DECIMAL(24, 0)) * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(18, 6));
CREATE OR REPLACE TEMP MACRO mean_of(total, number) AS
    of_micros(sign(micros(total)) * ((2 * abs(micros(total)) + number) // (2 * number)));
CREATE OR REPLACE TEMP MACRO coin(currency) AS
    CASE
        WHEN currency IN (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF',
            'XPF'
        ) THEN 1000000
        WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 1000
        ELSE 10000
    END;
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


def currency_code(value: Any) -> str | None:
    """The ISO 4217 code of a code or an unambiguous symbol; None for anything else ($ is many currencies)."""
    text = str(value or "").strip()
    if re.fullmatch(r"[A-Za-z]{3}", text):
        return text.upper()
    return _SYMBOLS.get(text)


def amount_sql(text: str) -> str:
    """The SQL expression for what ``money`` reads of ``text``, an expression itself, where ``add_exact_amount`` was."""
    # Nearly all are plain and of usual length, and are cast a hundred times faster than Python reads them.
    plain = f"regexp_full_match({text}, '[+-]?[0-9]{{1,12}}([.][0-9]{{0,20}})?')"
    cast = f"try_cast(CAST({text} AS DECIMAL(38, 20)) AS DECIMAL(18, 6))"
    return f"CASE WHEN {plain} THEN {cast} WHEN {text} <> '' THEN exact_amount({text}) END"


def add_exact_amount(con: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the function ``exact_amount``, which is ``money``."""
    con.create_function("exact_amount", money, [VARCHAR], "DECIMAL(18, 6)", null_handling=FunctionNullHandling.SPECIAL)
