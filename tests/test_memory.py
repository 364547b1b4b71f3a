"""Responses that are made to fill the memory: none makes a load hold much more than an ordinary one does."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from support.loading import World, world

from assets.http.strict_json import MAX_TEXT, MAX_VALUES
from pipelines.demo.company import SIP
from pipelines.demo.faults import Fault

pytestmark = pytest.mark.slow  # whole loads

ROOT = Path(__file__).parents[1]
DAY = date(2026, 10, 21)
MIB = 1 << 20
ABOVE = 64  # MiB
_OPEN, _END = b'{"totalItems": 0, "items": [', b"]}"


def _list_of(value: bytes, size: int) -> bytes:
    return _OPEN + b",".join([value] * (size // (len(value) + 1))) + _END


# What a response of about so many bytes can hold.
BODIES: dict[str, Callable[[int], bytes]] = {
    "one text": lambda size: b'{"totalItems": 1, "items": [{"uri": "' + b"x" * size + b'"}]}',
    "a text of wide letters": lambda size: (
        b'{"totalItems": 1, "items": [{"uri": "\xf0\x9f\x8e\x89' + b"x" * size + b'"}]}'
    ),
    "blanks": lambda size: b" " * size + _OPEN + _END,
    "objects": lambda size: _list_of(b'{"a":{}}', size),
    "as many objects as may be": lambda size: _list_of(b'{"a":{}}', min(size, 3 * MAX_VALUES - 100)),
    "numbers": lambda size: _list_of(b"0.12345678901234567", size),
    "texts": lambda size: _list_of(b'"' + b"y" * 60 + b'"', size),
    "keys": lambda size: b"{" + b",".join(b'"k%d":1' % number for number in range(size // 12)) + b"}",
    "depth": lambda size: b"[" * size,
    "texts as long as may be": lambda size: _list_of(b'"\xf0\x9f\x8e\x89' + b"y" * (MAX_TEXT - 9) + b'"', size),
    "half a text": lambda size: _OPEN + b'"' + b"z" * size,
}


def _packed(body: bytes) -> Fault:
    return Fault("body", "sipcentric", "calls", times=None, params={"body": body})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("memory"), DAY, DAY, scale=0.05, only=(SIP,)) as made:
        yield made


_TOLD_BY_ITSELF = """
import atexit, re, sys
from pathlib import Path
atexit.register(lambda: print("peak", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
from pipelines.cli import main
main()
"""


def peak(place: World) -> tuple[float, str]:
    """The most that ``tollbook load`` held, in MiB, and what it said."""
    told = subprocess.run(
        [sys.executable, "-c", _TOLD_BY_ITSELF, "load", "--from", str(DAY), "--to", str(DAY)],
        env={**os.environ, "TOLLBOOK_CONFIG": str(place.config), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout
    return int(told.split()[-1]) / 1024, told


@pytest.fixture(scope="module")
def ordinary(place: World) -> float:
    return peak(place)[0]


def _cases() -> list[object]:
    sizes = (3, 200)
    return [
        pytest.param(
            name, size, id=f"{name}, {size} MiB", marks=[] if (name, size) == ("one text", 3) else pytest.mark.soak
        )
        for name in BODIES
        for size in sizes
    ]


@pytest.mark.parametrize(("name", "size"), _cases())
def test_no_answer_makes_a_load_hold_much_more(place: World, ordinary: float, name: str, size: int) -> None:
    place.vendors.faults.add(_packed(BODIES[name](size * MIB)))
    try:
        held, told = peak(place)
    finally:
        place.vendors.faults.clear()
    assert "ContractError" in told or "Traceback" not in told
    assert held < ordinary + ABOVE, f"{held - ordinary:+.0f} MiB above {ordinary:.0f}"
