"""Money as the vendors write it.

What lives here: reading an amount or a currency exactly, or not at all. What does not: sums and rates (SQL), or which
amount is meant (the vendor modules). Amounts are Decimal with at most six places, as ``schema.MONEY`` holds them.
"""

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

PLACES = Decimal("0.000001")
# The form of an amount, for Python and for DuckDB alike.
AMOUNT = "[+-]?([0-9]{1,30}([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,2})?"
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
    if not re.fullmatch(AMOUNT, text):
        return None
    amount = Decimal(text)
    if abs(amount) >= _LARGEST:
        return None
    with localcontext(prec=200):
        rounded = amount.quantize(PLACES, rounding=ROUND_HALF_UP)
    return rounded if abs(rounded) < _LARGEST else None


def currency_code(value: Any) -> str | None:
    """The ISO 4217 code of a code or an unambiguous symbol; None for anything else ($ is many currencies)."""
    text = str(value or "").strip()
    if re.fullmatch(r"[A-Za-z]{3}", text):
        return text.upper()
    return _SYMBOLS.get(text)
