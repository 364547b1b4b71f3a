"""Money, exactly: from a vendor's text through typing and Parquet and back."""

import json
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.fake_pbx import FakePbx, load_day, row, rows_of, source_of

from assets.http import strict_json
from warehouse.core import read_core, write_parquet
from warehouse.money import MACROS, coin_places, currency_code, in_coins, money
from warehouse.schema import MONEY, Column, Table

MOST = Decimal("999999999999.999999")
WIDE = Context(prec=60)
AMOUNTS = st.decimals(-MOST, MOST, places=6, allow_nan=False, allow_infinity=False)


@st.composite
def writings(draw: st.DrawFn, amounts: st.SearchStrategy[Decimal] = AMOUNTS) -> tuple[Decimal, str]:
    """An amount, and how it stands in JSON: a number or text, with fewer digits or more, in powers of ten."""
    amount = draw(amounts)
    power = draw(st.sampled_from([0, 0, 0, *range(-25, 26)]))
    digits = f"{amount.scaleb(-power, context=WIDE):f}"
    if draw(st.booleans()):
        digits += ("" if "." in digits else ".") + "0" * draw(st.integers(1, 30))
    elif "." in digits and draw(st.booleans()):
        digits = digits.rstrip("0").removesuffix(".")
    text = digits + (draw(st.sampled_from(["e{}", "E{}", "e{:+}", "E{:+}"])).format(power) if power else "")
    if draw(st.booleans()):
        return amount, text
    sign, text = ("-", text[1:]) if text[0] == "-" else (draw(st.sampled_from(["", "+"])), text)
    text = sign + draw(st.sampled_from(["", "0", "000"])) + text
    return amount, json.dumps(f" {text} " if draw(st.booleans()) else text)


@given(writings())
def test_any_amount_is_read_exactly(writing: tuple[Decimal, str]) -> None:
    amount, text = writing
    assert money(strict_json.loads(f"[{text}]")[0]) == amount


# One day cannot add up to more than an amount can hold.
SOME = st.decimals(-MOST / 40, MOST / 40, places=6, allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@given(st.lists(writings(SOME), min_size=1, max_size=30))
@example([(Decimal(100_000_000_000), "1000000000000000000e-7")])
@example([(Decimal(100_000_000_000), '"1000000000000000000e-7"')])
@example([(Decimal(0), '"0.00000049999999999999999999999"')])  # rounded once, not first to 20 places
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_amount_goes_exactly_through_typing_and_parquet(
    tmp_path_factory: pytest.TempPathFactory, writings: list[tuple[Decimal, str]]
) -> None:
    pbx = FakePbx([row(number=number, rating_cost=f"@{number}@") for number in range(len(writings))], billamount="0")

    def change(asked: dict[str, str], data: Any) -> Any:
        body = json.dumps(data)
        for number, (_, text) in enumerate(writings):
            body = body.replace(f'"@{number}@"', text)
        return body

    pbx.change = change
    source = source_of(pbx, tmp_path_factory.mktemp("lake"))
    assert not load_day(source).failures
    found = {int(record["native_id"].split(".")[1]): record["cost"] for record in rows_of(source)}
    assert found == {number: amount for number, (amount, _) in enumerate(writings)}
    control = rows_of(source, "audit.control_total")[0]
    assert control["ours"] == sum(amount for amount, _ in writings)


@pytest.mark.parametrize("cost", ["999999999999.999999", 999999999999.999999, "-999999999999.999999"])
def test_the_largest_amount(cost: str | float, tmp_path: Path) -> None:
    """As a JSON number it is more than a float holds: 1000000000000.0."""
    pbx = FakePbx([row(rating_cost="@")], billamount="0")
    text = json.dumps(cost) if isinstance(cost, str) else "999999999999.999999"
    pbx.change = lambda asked, data: json.dumps(data).replace('"@"', text)
    source = source_of(pbx, tmp_path)
    assert not load_day(source).failures
    assert [record["cost"] for record in rows_of(source)] == [Decimal(str(text).strip('"'))]


@given(amounts=st.lists(st.one_of(st.none(), AMOUNTS), min_size=1))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parquet_keeps_amounts(tmp_path: Path, amounts: list[Decimal | None]) -> None:
    table = Table("core", "amounts", "One amount a row", (Column("amount", MONEY, "An amount"),), key=("amount",))
    path = tmp_path / "amounts.parquet"
    write_parquet(table, pa.table({"amount": pa.array(amounts, pa.decimal128(18, 6))}), path)
    assert read_core(table, path)["amount"].to_pylist() == amounts


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        True,
        False,
        0.1,
        float("nan"),
        "NaN",
        "Infinity",
        "1,50",
        "1 000",
        "1_000",
        "£5",
        "5 EUR",
        "0x10",
        "1e",
        "e5",
        ".",
        "-",
        "--1",
        "٣",
        "１",
        "1000000000000",
        "999999999999.9999995",
        "1e12",
        "1e99",
        "1e999",
        "1e-1000",
        "9" * 400,
        [],
        {},
    ],
)
def test_what_is_not_an_amount_is_none_and_never_zero(value: Any) -> None:
    assert money(value) is None


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (0, "0"),
        ("0.00000", "0"),
        (Decimal("0.30000000000000004"), "0.3"),
        ("0.0000005", "0.000001"),
        ("-0.0000005", "-0.000001"),
        ("0.0000004999", "0"),
        ("+1.5", "1.5"),
        ("5.", "5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        (Decimal("1E-5"), "0.00001"),
        ("1e-99", "0"),
        ("0e999", "0"),
        (f"{10**33}e-22", "100000000000"),
        ("0" * 50 + "1.5", "1.5"),
        (8, "8"),
        (10**11, "100000000000"),
    ],
)
def test_amounts_as_vendors_write_them(value: Any, amount: str) -> None:
    found = money(value)
    assert found == Decimal(amount)
    assert found is not None
    assert found.as_tuple().exponent == -6


@given(st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.decimals(), st.booleans()))
def test_whatever_comes_fits_the_column_or_is_none(value: Any) -> None:
    found = money(value)
    assert found is None or pa.scalar(found, pa.decimal128(18, 6)).as_py() == found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("EUR", "EUR"),
        ("gbp", "GBP"),
        (" USD ", "USD"),
        ("€", "EUR"),
        ("£", "GBP"),
        ("$", None),
        ("kr", None),
        ("", None),
        (None, None),
        ("Euro", None),
        ("12", None),
        (978, None),
    ],
)
def test_currencies(text: Any, code: str | None) -> None:
    assert currency_code(text) == code


@pytest.mark.parametrize(
    ("currency", "places", "rounded"),
    [
        ("EUR", 2, "2.35"),
        ("JPY", 0, "2"),
        ("UYI", 0, "2"),
        ("KWD", 3, "2.346"),
        ("CLF", 4, "2.3457"),
        ("MGA", 2, "2.35"),  # whose coin is a fifth, and is written with two places
        ("XXX", 2, "2.35"),
        ("", 2, "2.35"),
        (None, 2, "2.35"),
    ],
)
def test_every_currency_has_coins_of_its_own(currency: str | None, places: int, rounded: str) -> None:
    """2.34565: to the whole 2, in hundredths 2.35, in thousandths 2.346, and in ten-thousandths, half up, 2.3457."""
    assert coin_places(currency) == places
    assert str(in_coins(Decimal("2.34565"), currency)) == rounded
    assert in_coins(-Decimal("2.34565"), currency) == -Decimal(rounded)
    with duckdb.connect() as db:
        db.execute(MACROS)
        assert db.execute("SELECT coin($1)", [currency]).fetchone() == (10 ** (6 - places),)
