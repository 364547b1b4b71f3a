"""Plain values as every vendor's module reads them, and the SQL that is packaged beside the modules."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assets.parsing import is_true, sum_if_complete, text, whole_number

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bo Reed", "Bo Reed"),
        ("", ""),
        (1000, "1000"),
        (Decimal("10.50"), "10.50"),
        (None, None),
        (True, None),
        (["Bo Reed"], None),
        ({"name": "Bo Reed"}, None),
    ],
)
def test_a_text_or_a_number_is_a_text_and_nothing_else_is(value: Any, expected: str | None) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12, 12), ("12", 12), ("12.0", 12), (Decimal("-3"), -3), ("12.5", None), ("", None), (None, None), (True, None)],
)
def test_a_whole_number_is_read_however_it_is_written(value: Any, expected: int | None) -> None:
    assert whole_number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("1", True), (1, True), (" Yes ", True), ("0", False), (None, False)]
)
def test_what_says_yes_is_true(value: Any, expected: bool) -> None:
    assert is_true(value) is expected


def test_a_sum_is_known_only_where_every_amount_is() -> None:
    assert sum_if_complete([Decimal("1.10"), Decimal("2.20")]) == Decimal("3.30")
    assert sum_if_complete([]) == 0
    assert sum_if_complete([Decimal("1.10"), None]) is None


def test_every_sql_file_is_packaged() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    for package in ("assets", "warehouse"):
        there = set((ROOT / package).rglob("*.sql"))
        assert there, "the check would pass on nothing"
        assert there == {path for pattern in packaged[package] for path in (ROOT / package).glob(pattern)} & there
