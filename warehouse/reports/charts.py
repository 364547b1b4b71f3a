"""Charts as inline SVG: no script, no font, no request, and the same bytes for the same section.

What lives here: the drawing of ``model.Chart``. What does not: what is drawn (``content``) or the workbook's own
charts (``xlsx``). Positions are computed in Decimal too, so that no platform's rounding shows in the file. Colours
are the style sheet's classes ``s0`` … ``s6``, so that they follow light, dark and print.
"""

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from markupsafe import Markup

from warehouse.reports.model import Chart, ChartKind, Section, Value, show

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 4, 10, 28
COLOURS = 7
BARS = 12  # as many bars; the smaller ones are added up in one more
_BAR_HEIGHT, _LABEL_WIDTH, _VALUE_WIDTH = 24, 165, 80
_LABEL_LENGTH = 22  # characters of a bar's label


def svg(chart: Chart) -> Markup:
    """The picture of ``chart``; nothing where there is nothing to picture."""
    rows = [row for row in chart.section.rows if any(_amount(row[series]) for series in chart.series)]
    if not rows:
        return Markup("")
    if chart.kind is ChartKind.BARS:
        return _bars(chart, rows)
    return _columns(chart, list(chart.section.rows))


def _columns(chart: Chart, rows: Sequence[tuple[Value, ...]]) -> Markup:
    """Columns over the categories, stacked where there are several series; negative amounts hang below zero."""
    highest = max(sum((max(_amount(row[s]), Decimal(0)) for s in chart.series), Decimal(0)) for row in rows)
    lowest = min(sum((min(_amount(row[s]), Decimal(0)) for s in chart.series), Decimal(0)) for row in rows)
    step = _step((highest - lowest) / 4)
    top, bottom = _up(highest, step), -_up(-lowest, step)
    height = Decimal(HEIGHT - TOP - BOTTOM)
    slot = Decimal(WIDTH - LEFT - RIGHT) / len(rows)

    def y(amount: Decimal) -> Decimal:
        return TOP + (top - amount) * height / (top - bottom)

    parts = []
    for number in range(int((top - bottom) / step) + 1):
        tick = bottom + number * step
        line = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            "zero" if tick == 0 else "grid", LEFT, WIDTH - RIGHT, _px(y(tick)), _px(y(tick))
        )
        label = Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
            LEFT - 6, _px(y(tick) + 4), f"{tick.normalize():,f}"
        )
        parts += [line, label]
    every = -(-len(rows) // 12)
    for position, row in enumerate(rows):
        left, width = LEFT + slot * (position + Decimal("0.14")), slot * Decimal("0.72")
        above = below = Decimal(0)
        for number, series in enumerate(chart.series):
            amount = _amount(row[series])
            if not amount:
                continue
            start = above if amount > 0 else below
            above, below = (above + amount, below) if amount > 0 else (above, below + amount)
            column = chart.section.columns[series]
            parts.append(
                Markup('<rect class="s{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                    number % COLOURS,
                    _px(left),
                    _px(y(max(start, start + amount))),
                    _px(width),
                    _px(abs(amount) * height / (top - bottom)),
                    f"{row[chart.category]}, {column.title}: {show(row[series], column, chart.unit)} {chart.unit}",
                )
            )
        if position % every == 0:
            parts.append(
                Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    _px(left + width / 2), HEIGHT - BOTTOM + 16, _tick(row[chart.category])
                )
            )
    return _frame(chart, WIDTH, HEIGHT, parts)


def _bars(chart: Chart, rows: Sequence[tuple[Value, ...]]) -> Markup:
    """One bar a row with its label and amount; a negative amount has a bar of its size in the last colour."""
    (series,) = chart.series
    column = chart.section.columns[series]
    bars = [(str(row[chart.category]), _amount(row[series])) for row in rows]
    if len(bars) > BARS:
        rest = bars[BARS:]
        bars = [*bars[:BARS], (f"{len(rest)} others", sum((amount for _, amount in rest), Decimal(0)))]
    longest = max(abs(amount) for _, amount in bars) or Decimal(1)
    room = Decimal(WIDTH - _LABEL_WIDTH - _VALUE_WIDTH)
    parts = []
    for position, (label, amount) in enumerate(bars):
        top = position * _BAR_HEIGHT + 4
        width = abs(amount) * room / longest
        text = label if len(label) <= _LABEL_LENGTH else f"{label[: _LABEL_LENGTH - 1]}…"
        parts += [
            Markup('<text class="label" x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
                _LABEL_WIDTH - 8, top + 12, text, label[:200]
            ),
            Markup('<rect class="s{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                0 if amount >= 0 else 4, _LABEL_WIDTH, top, _px(width), _BAR_HEIGHT - 8
            ),
            Markup('<text class="label" x="{}" y="{}">{}</text>').format(
                _px(_LABEL_WIDTH + width + 6), top + 12, show(amount, column, chart.unit)
            ),
        ]
    return _frame(chart, WIDTH, len(bars) * _BAR_HEIGHT + 8, parts)


def legend(section: Section, series: Sequence[int]) -> list[tuple[int, str]]:
    """Colour number and title of each series, where there are several to tell apart."""
    titles = [(number % COLOURS, section.columns[column].title) for number, column in enumerate(series)]
    return titles if len(titles) > 1 else []


def _frame(chart: Chart, width: int, height: int, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        width, height, f"{chart.title}, {chart.unit}"
    )
    return head + Markup("\n").join(parts) + Markup("</svg>")


def _amount(value: Value) -> Decimal:
    return Decimal(value) if isinstance(value, (Decimal, int)) else Decimal(0)


def _step(rough: Decimal) -> Decimal:
    """The round number (1, 2 or 5 times a power of ten) not below ``rough``."""
    power = Decimal(1).scaleb(rough.adjusted())
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _up(amount: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of ``step`` not below ``amount``."""
    return (amount // step + 1) * step if amount % step else amount


def _px(value: Decimal | int) -> str:
    return f"{Decimal(value).quantize(Decimal('0.1'), ROUND_HALF_UP):f}"


def _tick(value: Value) -> str:
    return str(value.day) if isinstance(value, date) else str(value).removesuffix(":00")
