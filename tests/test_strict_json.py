"""Exact JSON: every value as it is spelled, everything else refused, and quickly."""

import json
import re
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.http import strict_json
from assets.http.strict_json import MAX_DEPTH, MAX_TEXT, MAX_VALUES, NoJson, decode, loads
from tollbook_errors import ContractError

WHERE = {"connection": "hq", "endpoint": "cdr.download", "window": "2026-10-05"}


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type: True is not 1, and 1.0 is not 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Decimal("0.1")),
        ("1e3", Decimal("1e3")),
        ("12345678901234567890.123456789012345678901", Decimal("12345678901234567890.123456789012345678901")),
        ("12345678901234567890123", 12345678901234567890123),
        ("-7", -7),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('"\\\\ud800"', "\\ud800"),
        ('{"a": [true, null, "\\"[{"]}', {"a": [True, None, '"[{']}),
        (" [] ", []),
    ],
)
def test_values_are_exact(text: str, value: Any) -> None:
    assert same(loads(text), value)


def test_a_trailing_zero_is_kept() -> None:
    assert str(loads("1.10")) == "1.10"


NOT_JSON = [
    "",
    " \n",
    "\ufeff{}",
    "<!DOCTYPE html><html></html>",
    "Notice: Undefined index in /usr/share/x.php",
    'Notice: Undefined index\n{"csv": []}',
    '{"csv": []}<!-- 0.2 s -->',
    "[10-Oct-2026 02:00:00 UTC] PHP Warning: no such file",
    "[1] [2]",
    "[1,]",
    "{'a': 1}",
    '["\t"]',
    "[01]",
]


@pytest.mark.parametrize(
    "text",
    [
        *NOT_JSON,
        "NaN",
        "[Infinity]",
        "[-Infinity]",
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "\\u0062": 2}}',
        "1" * 5000,
        "[-" + "1" * 5000 + "]",
        "0." + "1" * 5000,
        "1e9999999",
        "1e-9999999",
        "0e9999999",
        "1e" + "9" * 300,
        '"\\ud800"',
        '["\\udc00\\ud800"]',
        '{"\\ud800": 1}',
        '["\\ud83d\\\\ude00"]',
        '["\ud800"]',
    ],
)
def test_anything_else_is_refused_saying_where(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        loads(text, **WHERE)
    assert str(caught.value).startswith("hq cdr.download 2026-10-05: ")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "the parser's exception holds the whole response"
    assert isinstance(caught.value, NoJson) == (text in NOT_JSON), "only what is no JSON is worth another try"


@pytest.mark.parametrize("opening", ["[", '{"a":', '["]",[', '[{"a":"\\"]"},['])
def test_nesting_is_bounded(opening: str) -> None:
    with pytest.raises(ContractError, match="nested"):
        loads(opening * 30_000)


def test_nesting_up_to_the_bound_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(loads(text)) == text
    with pytest.raises(ContractError, match="nested"):
        loads(f"[{text}]")


def test_brackets_in_strings_are_not_nesting() -> None:
    value = ["[{" * 300, '"[' * 300, "x\\", "[" * 300, ""]
    assert loads(json.dumps(value)) == value


@given(st.data())
def test_every_cut_of_an_answer_is_seen_as_cut(data: st.DataObject) -> None:
    text = json.dumps({"csv": [["Ann [1] (1000)", 'a "quoted" \\ name', 4.5, None, {"k": True}]], "next_page": False})
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(NoJson, match="ends in the middle"):
        loads(text[:end])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_what_json_writes_is_read_back(value: Any, ascii_only: bool) -> None:
    assert same(loads(json.dumps(value, ensure_ascii=ascii_only)), value)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=9))
def test_decimals_are_read_back_digit_by_digit(value: Decimal) -> None:
    assert f"{loads(f'[{value:f}]')[0]:f}" == f"{value:f}"


def test_decoding() -> None:
    assert decode(b'\xef\xbb\xbf{"a":"\xc5\x82"}') == '{"a":"\N{LATIN SMALL LETTER L WITH STROKE}"}'
    for encoding in ("cp1250", "utf-16"):
        with pytest.raises(NoJson, match="not UTF-8") as caught:
            decode("łąka".encode(encoding), **WHERE)
        assert caught.value.__context__ is None


SIZE = 16 << 20


@pytest.mark.parametrize(
    "text",
    [
        "[" * SIZE,
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH) * (SIZE // (2 * MAX_DEPTH)),
        '"["' * (SIZE // 3),
        "1" * SIZE,
        "[" + "[]," * (SIZE // 3) + "1]",
        '["' + '\\"' * (SIZE // 2) + '"]',
        "[" + '{"a":1},' * (MAX_VALUES - 1) + "1]",
        " " * SIZE,
    ],
    ids=["deep", "chains", "quoted", "digits", "wide", "escapes", "objects", "blank"],
)
def test_no_answer_takes_long(text: str) -> None:
    started = time.process_time()
    with suppress(ContractError):
        loads(text)
    assert time.process_time() - started < 2


def test_the_number_of_values_is_bounded() -> None:
    assert len(loads(f"[{'1,' * 1000}1]")) == 1001
    with pytest.raises(ContractError, match="more than"):
        loads(f"[{'1,' * (MAX_VALUES + 1)}1]")


def test_the_length_of_a_text_is_bounded_however_it_is_written() -> None:
    for letter in ("x", "\\\\", '\\"', "\\ud83d\\ude00", "😀"):
        size = len(letter.encode())
        long_name = decode(f'{{"a": "b", "name": "{letter * 40_000}"}}'.encode())
        assert len(loads(long_name)["name"]) == 40_000
        with pytest.raises(ContractError, match="holds a text of more than 500000 bytes"):
            decode(f'{{"a": "b", "name": "{letter * (MAX_TEXT // size + 2)}", "c": "d"}}'.encode())
    assert decode(b" " * 2 * MAX_TEXT).isspace()
    page = f'<img src="data:image/png;base64,{"A" * (MAX_TEXT + 2)}">'
    with pytest.raises(NoJson, match="HTML page"):
        loads(decode(page.encode()))
    assert len(loads(decode(f"[{'1.25,' * (MAX_TEXT // 4)}1]".encode()))) == MAX_TEXT // 4 + 1


@given(st.text(alphabet='[]{}"\\\\,1', max_size=60), st.integers(min_value=1, max_value=6))
def test_depth_is_refused_as_counting_one_by_one_tells(text: str, most: int) -> None:
    """However the brackets are counted; ``most`` instead of the real bound, so that chance reaches it."""
    depth, deepest, inside = 0, 0, False
    for letter in re.sub(r"\\[\\\"]", "", text):
        if letter == '"':
            inside = not inside
        elif not inside:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(letter, 0)
            deepest = max(deepest, depth)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strict_json, "MAX_DEPTH", most)
        said, cut = strict_json._nesting(text)
    assert (said > most) == (deepest > most)
    assert cut == (depth > 0 or inside)


def test_a_page_of_records_is_parsed_fast() -> None:
    row = [
        "Ann Example (1000)",
        "+442079460123",
        "1790841600",
        "65",
        "60",
        "0.0123",
        "Answered",
        "1790841600.12",
        "",
        "No",
    ]
    text = json.dumps({"csv": [row] * 1000, "records": 1000})
    best = min(_seconds(text) for _ in range(20))
    assert best < 0.02
    assert strict_json.loads(text)["csv"][-1] == row


def _seconds(text: str) -> float:
    started = time.perf_counter()
    loads(text)
    return time.perf_counter() - started
