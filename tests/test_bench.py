"""The benchmarks run, at a size of no interest: what they print is looked at here, not how fast it was."""

import re
from functools import partial

import pytest

from bench import child, extract, limits, nights
from bench.__main__ import SIZES, benchmarks, main
from bench.figures import Figure, interleave, ratio
from bench.nights import worked_questions
from bench.vendor import DAY_START, SECONDS, Records, outside_number, pbx_row, seconds_of_day

pytestmark = pytest.mark.slow  # measurements

RATIO = re.compile(r"× floor|peak resident|ratio of time|requests / pages|tollbook --help")


@pytest.mark.parametrize("name", benchmarks(SIZES["toy"]))
def test_every_benchmark_prints_a_ratio_or_a_time(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process: to start one for each measurement would take minutes, and nobody reads the figures.
    monkeypatch.setattr(extract, "measure", child.call)
    monkeypatch.setattr(nights, "measure", child.call)
    monkeypatch.setattr(limits, "measure", child.call)
    main([name, "--size", "toy"])
    said = [line for line in capsys.readouterr().out.splitlines() if RATIO.search(line)]
    assert said, "nothing was measured"
    for line in said:
        figures = [float(number) for number in re.findall(r"\s(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=\s|$)", line)]
        assert any(figure > 0 for figure in figures), line


def test_a_measurement_has_a_process_of_its_own() -> None:
    # Whatever it returns is passed on as JSON; nothing is measured but the process.
    own = child.measure("builtins:dict", seconds=1.5)
    assert own["seconds"] == 1.5
    assert 0 < own["peak_mib"] < child.peak_mib()


def test_a_measurement_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no attribute 'nothing'"):
        child.measure("bench.figures:nothing")


def test_a_benchmark_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["nothing-of-the-kind"])
    assert stopped.value.code == 2
    assert "nothing-of-the-kind" in capsys.readouterr().err


def test_ways_are_repeated_in_turn_and_compared_turn_by_turn() -> None:
    order: list[str] = []
    seconds = {"a": iter([1.0, 4.0, 9.0]), "b": iter([1.0, 2.0, 3.0])}

    def way(name: str) -> dict[str, float]:
        order.append(name)
        return {"seconds": next(seconds[name])}

    found = interleave({name: partial(way, name) for name in seconds}, 3)
    assert order == ["a", "b"] * 3
    assert ratio(found["a"]["seconds"], found["b"]["seconds"]) == Figure((1.0, 2.0, 3.0))
    assert str(Figure((3.0, 1.0, 2.0))) == "2 (1 to 3)"


@pytest.mark.parametrize("rows", [1, 24, 999, 5_000])
def test_the_day_has_every_record_once_and_in_order(rows: int) -> None:
    seconds = list(seconds_of_day(rows))
    assert len(seconds) == rows
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    assert seconds[-1] < SECONDS

    records = Records(rows, pbx_row)
    assert records.between(DAY_START, DAY_START + SECONDS) == (0, rows)
    middle = DAY_START + SECONDS // 2
    early, late = records.between(DAY_START, middle), records.between(middle, DAY_START + SECONDS)
    assert early[1] == late[0]
    pieces = [piece for piece in (records.cut(*early), records.cut(*late)) if piece]
    assert b",".join(pieces) == records.text


def test_numbers_are_reserved_ones() -> None:
    reserved = re.compile(r"1\d{3}55501\d\d|02079460\d{3}")
    assert all(reserved.fullmatch(outside_number(number)) for number in range(40_000))


def test_every_question_of_the_documentation_is_asked() -> None:
    questions = worked_questions()
    assert len(questions) == len({title for title, _ in questions}) > 5
    assert all(sql.startswith(("SELECT", "WITH")) for _, sql in questions)
