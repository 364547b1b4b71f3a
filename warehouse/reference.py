"""Finance's own files: which cost centre an extension belongs to, and the rates to the reporting currency.

What lives here: reading and checking ``cost_centres.csv`` and ``fx_rates.csv``. What does not: applying them
(``marts/cost_daily.sql``). Both files are optional; a wrong line is refused with its number, never with its contents.
"""

import csv
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

from tollbook_errors import ConfigError, StorageError

COST_CENTRES = "cost_centres.csv"
FX_RATES = "fx_rates.csv"

_RANGE = re.compile(r"(\d+)-(\d+)")
_RATE = re.compile(r"\d{1,9}(\.\d{1,9})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class CostCentreRule:
    """One line of ``cost_centres.csv``. None stands for any; both dates and both ends of the range are inclusive."""

    connection: str | None
    account_id: str | None
    extension_from: str | None
    extension_to: str | None
    cost_centre: str
    valid_from: date
    valid_to: date
    line: int

    @property
    def target(self) -> tuple[str | None, ...]:
        return (self.connection, self.account_id, self.extension_from, self.extension_to)

    def _rank(self) -> tuple[int, ...]:
        """Sorts the most specific first: one extension, a narrow range, a wide one, any; then account and connection.

        Of two equally specific rules the later one to begin wins, then the one that stands first in the file.
        """
        width = -1
        if self.extension_from is not None and self.extension_to is not None:
            same = self.extension_from == self.extension_to
            width = 0 if same else int(self.extension_to) - int(self.extension_from)
        return (
            self.extension_from is None,
            width,
            self.account_id is None,
            self.connection is None,
            -self.valid_from.toordinal(),
            self.line,
        )


@dataclass(frozen=True)
class FxRate:
    """From ``day`` until the next one, one unit of ``currency`` is ``rate`` units of the reporting currency."""

    day: date
    currency: str
    rate: Decimal


@dataclass(frozen=True)
class Reference:
    """Both files; ``rules`` stand in order, the one to apply first."""

    rules: tuple[CostCentreRule, ...] = ()
    rates: tuple[FxRate, ...] = ()
    digest: str = field(default="", compare=False)


def read_reference(folder: Path | None, reporting_currency: str) -> Reference:
    """Read what there is of both files in ``folder`` (None: there is none).

    Raises ConfigError naming file and line for a missing column, a bad date or rate, or a line that says again or
    otherwise what another one says; StorageError when a file cannot be read.
    """
    if folder is None:
        return Reference()
    digest = hashlib.sha256()
    rules = _cost_centres(folder / COST_CENTRES, digest.update)
    rates = _fx_rates(folder / FX_RATES, reporting_currency, digest.update)
    return Reference(tuple(sorted(rules, key=CostCentreRule._rank)), tuple(rates), digest.hexdigest())


def _cost_centres(path: Path, seen: Callable[[bytes], None]) -> list[CostCentreRule]:
    rules: list[CostCentreRule] = []
    columns = ("connection", "account", "extension", "cost_centre", "from", "to")
    for line, row in _rows(path, columns, seen):
        if not row["cost_centre"]:
            raise _wrong(path, line, "the cost centre is empty")
        low, high = _extensions(path, line, row["extension"])
        rule = CostCentreRule(
            row["connection"] or None,
            row["account"] or None,
            low,
            high,
            row["cost_centre"],
            _day(path, line, "from", row["from"]) if row["from"] else date.min,
            _day(path, line, "to", row["to"]) if row["to"] else date.max,
            line,
        )
        if rule.valid_to < rule.valid_from:
            raise _wrong(path, line, "it ends before it begins")
        for other in rules:
            if other.target == rule.target and other.valid_from <= rule.valid_to and rule.valid_from <= other.valid_to:
                raise _wrong(path, line, f"line {other.line} is for the same extensions and overlaps it in time")
        rules.append(rule)
    return rules


def _extensions(path: Path, line: int, text: str) -> tuple[str | None, str | None]:
    span = _RANGE.fullmatch(text)
    if not span:
        return text or None, text or None
    low, high = span.groups()
    if len(low) != len(high) or low > high:
        raise _wrong(path, line, "both ends of a range of extensions need as many digits, the smaller one first")
    return low, high


def _fx_rates(path: Path, reporting_currency: str, seen: Callable[[bytes], None]) -> list[FxRate]:
    rates: dict[tuple[date, str], int] = {}
    found: list[FxRate] = []
    for line, row in _rows(path, ("date", "currency", "rate"), seen):
        day = _day(path, line, "date", row["date"])
        if not _CURRENCY.fullmatch(row["currency"]):
            raise _wrong(path, line, "the currency is no ISO 4217 code of three capital letters")
        if not _RATE.fullmatch(row["rate"]) or not Decimal(row["rate"]):
            raise _wrong(path, line, "the rate is no positive decimal with at most 9 digits before and after the point")
        rate = FxRate(day, row["currency"], Decimal(row["rate"]))
        if rate.currency == reporting_currency and rate.rate != 1:
            raise _wrong(path, line, "the rate of the reporting currency to itself is 1")
        earlier = rates.setdefault((rate.day, rate.currency), line)
        if earlier != line:
            raise _wrong(path, line, f"line {earlier} is for the same date and currency")
        found.append(rate)
    return found


def _rows(path: Path, columns: tuple[str, ...], seen: Callable[[bytes], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines that are not empty, with their numbers; columns by header name, others are let be."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="check its permissions") from error
    seen(path.name.encode() + b"\0" + content)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8", hint="save it as CSV in UTF-8") from None
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in columns if header.count(name) != 1]
        if missing:
            raise _wrong(path, 1, f"there must be one column {' and one '.join(missing)}")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise _wrong(path, reader.line_num, f"it has {len(cells)} cells, the header {len(header)}")
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error:
        raise _wrong(path, reader.line_num, "it is not CSV") from None


def _day(path: Path, line: int, column: str, text: str) -> date:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise _wrong(path, line, f"{column} is no date of the form YYYY-MM-DD")


def _wrong(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError(f"{path.name} line {line}: {what}", hint=f"correct {path}")
