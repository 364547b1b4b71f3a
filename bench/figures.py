"""Medians of interleaved repetitions, and the lines they are printed as.

What lives here: how a set of ways is repeated in turn, so that a machine that slows down slows all of them, and how
figures and ratios are written. What does not: the ways (``extract``, ``nights``, ``start``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Way = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Figure:
    """The repetitions of one quantity."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.3g} ({min(self.values):.3g} to {max(self.values):.3g})"


def interleave(ways: Mapping[str, Way], repeat: int) -> dict[str, dict[str, Figure]]:
    """Run every way ``repeat`` times, in turn; way -> quantity -> its figures."""
    measured: dict[str, list[Mapping[str, float]]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            measured[name].append(way())
    return {
        name: {quantity: Figure(tuple(run[quantity] for run in runs)) for quantity in runs[0]}
        for name, runs in measured.items()
    }


def ratio(of: Figure, floor: Figure) -> Figure:
    """Repetition by repetition, since those of one turn saw the same machine."""
    return Figure(tuple(a / b for a, b in zip(of.values, floor.values, strict=True)))


def show(title: str, lines: Sequence[tuple[str, object, str]]) -> None:
    """Print one benchmark: what, how much, and the goal (empty: none)."""
    print(f"\n{title}", flush=True)
    for what, figure, goal in lines:
        print(f"  {what:<66} {figure!s:>28}  {f'goal: {goal}' if goal else ''}".rstrip(), flush=True)
