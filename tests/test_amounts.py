"""Random amounts all the way: from the vendor's JSON to Parquet, to DuckDB, to the workbook and the CSV file.

Each amount belongs to a call of a second of its own, by which it is found again at each station; what is read back is
read by other libraries than those that wrote it, and compared as Decimal: not one may differ.
"""

import csv
import json
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.dataset as ds
import pytest
from support.core_rows import warehouse
from support.fake_pbx import FakePbx, load_day, row, source_of
from support.loading import SHM, query
from support.soaking import part, told
from support.stand_in import Literal, StandIn, run, source

from assets import sipcentric
from assets.warehouse_asset import update_and_publish
from warehouse.lake import Lake
from warehouse.money import PLACES
from warehouse.reports import ReportSettings, write_report

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 3, 10)
MIDNIGHT = int(datetime.combine(DAY, time(), UTC).timestamp())
WIDE = Context(prec=60)
# How a vendor may write an amount in JSON.
WAYS: tuple[Callable[[Decimal], str], ...] = (
    str,
    lambda amount: f'"{amount}"',
    lambda amount: f"{amount.normalize():f}",
    lambda amount: f'"{amount.normalize():f}"',
    lambda amount: f"{amount.scaleb(3):f}e-3",
    lambda amount: f'"{amount.scaleb(-2):f}E+2"',
    lambda amount: f"{amount.scaleb(20, context=WIDE):f}e-20",
    lambda amount: f'"{amount.scaleb(-20, context=WIDE):f}e20"',
    lambda amount: f'"{amount:f}{"0" * 25}"',
)
URI = "https://pbx.sipcentric.com/api/v1/customers/25"

Amounts = dict[tuple[str, int], Decimal]
"""By connection and second."""


class Batch:
    """As many calls of each vendor, and what they cost; ``spelt`` is each amount as it stands in the JSON."""

    def __init__(self, seed: int, count: int) -> None:
        chance = random.Random(seed)
        self.amounts: Amounts = {}
        for connection in ("hq", "site"):
            seconds = sorted(MIDNIGHT + second for second in chance.sample(range(86_400), count))
            self.amounts |= zip(((connection, second) for second in seconds), _amounts(chance, count), strict=True)
        self.spelt = {place: chance.choice(WAYS)(amount) for place, amount in self.amounts.items()}

    def seconds(self, connection: str) -> list[int]:
        return [second for name, second in self.amounts if name == connection]

    def total(self, connection: str) -> Decimal:
        return sum((amount for (name, _), amount in self.amounts.items() if name == connection), Decimal(0))

    def body(self, connection: str, data: Any) -> str:
        """``data`` as JSON, where ``"@1773100800@"`` stands for the amount of that second."""
        return re.sub('"@([0-9]+)@"', lambda found: self.spelt[connection, int(found[1])], json.dumps(data))

    @cached_property
    def pbxware(self) -> FakePbx:
        rows = [row(second, unique_id=f"{second}.1", rating_cost=f"@{second}@") for second in self.seconds("hq")]
        pbx = FakePbx(rows, billamount="0")

        def change(asked: dict[str, str], data: dict[str, Any]) -> Any:
            if "billamount" not in data:
                return self.body("hq", data)
            return {"billamount": "0" if asked.get("cdrtype") == "1" else str(self.total("hq"))}

        pbx.change = change
        return pbx

    @cached_property
    def sipcentric(self) -> StandIn:
        newest_first = self.seconds("site")[::-1]

        def response(path: str, asked: dict[str, str]) -> Any:
            if path.endswith("/calls"):
                after, before = (
                    datetime.fromisoformat(asked[name]).timestamp() for name in ("startedAfter", "startedBefore")
                )
                size, number = int(asked["pageSize"]), int(asked.get("page", 1))
                found = [second for second in newest_first if after < second < before]
                there = found[(number - 1) * size : number * size]
                more = {"nextPage": f"{URI}/calls?page={number + 1}"} if number * size < len(found) else {}
                data = {"totalItems": len(found), "pageSize": size, "page": number, "items": [*map(_call, there)]}
                return Literal(self.body("site", data | more))
            if path.endswith("/calls/stats"):
                amounts = {"count": len(newest_first), "duration": 60 * len(newest_first), "cost": self.total("site")}
                named = f'"columnHeaders": [{{"name": "day"}}, {{"name": "{asked["metric"]}"}}]'
                amount = amounts[asked["metric"]]
                return Literal(f'{{{named}, "rows": [["x", {amount}]], "totals": {{"x": {amount}}}}}')
            if path.endswith("/creditstatus"):
                return {"type": "creditstatus", "accountType": "PREPAID", "balance": 19.571}
            items = [{"type": "customer", "uri": URI, "company": "Bloggs co"}] if path == "customers" else []
            return {"totalItems": len(items), "pageSize": 200, "page": 1, "items": items}

        return StandIn(response)


def _amounts(chance: random.Random, count: int) -> Iterator[Decimal]:
    """Of every length and either sign, some as long as can be; each of those is made good by the next, for the sum of
    a day must be an amount too.
    """
    for number in range(count):
        if number % 500 in (0, 1):
            largest = 10**18 - 1 - chance.randrange(10**12)
            yield Decimal(-largest if number % 2 else largest).scaleb(-6)
        else:
            sign = chance.choice((1, 1, 1, -1))
            yield Decimal(sign * chance.randrange(10 ** chance.randint(1, 13))).scaleb(-6)


def _call(second: int) -> dict[str, Any]:
    moment = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.000+0000"
    return {
        "type": "call",
        "uri": f"{URI}/calls/{second}",
        "created": moment,
        "scope": "EXTERNAL",
        "direction": "OUT",
        "from": "Mary - Clients <103>",
        "to": "02079460123",
        "callStarted": moment,
        "outcome": "ANSWERED",
        "duration": 60,
        "cost": f"@{second}@",
        "callId": f"ast01-{second}.1",
        "linkedId": f"ast01-{second}.1",
    }


def second_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def check_amounts(seed: int, count: int, folder: Path) -> None:
    batch = Batch(seed, count)
    data_dir = folder / "data"
    assert not load_day(source_of(batch.pbxware, data_dir), DAY).failures
    site = source(batch.sipcentric, data_dir, "sipcentric", zone=UTC, account_zone=UTC, currency="EUR")
    run(site, sipcentric.LISTS_STREAM, lambda _: sipcentric.fetch_lists(site))
    lists = site.lake.raw.newest_list("site", "lists")
    known = {"lists": lists.content_generation}
    run(site, sipcentric.CALL_STREAM, lambda w: sipcentric.fetch_calls(site, lists, w), [DAY], depends_on=known)

    files = ds.dataset(sorted((data_dir / "core" / "cdr").rglob("*.parquet")))
    typed = files.to_table(["connection", "started_at", "cost"]).to_pylist()
    assert {(leg["connection"], int(leg["started_at"].timestamp())): leg["cost"] for leg in typed} == batch.amounts

    (folder / "fx_rates.csv").write_text("date,currency,rate\n2026-03-01,EUR,0.833333333\n")
    public = update_and_publish(Lake(data_dir), warehouse(data_dir, reference_dir=folder)).path
    for fact in ("core.cdr", "core.call"):
        found = query(public, f"SELECT connection, epoch(started_at)::BIGINT, cost FROM {fact}")
        assert {(connection, second): cost for connection, second, cost in found} == batch.amounts
    totals = {name: batch.total(name) for name in ("hq", "site")}
    for mart in ("mart.cost_daily", "mart.cost_monthly", "mart.chargeback"):
        assert dict(query(public, f"SELECT connection, sum(cost) FROM {mart} GROUP BY connection")) == totals, mart
    rate = Decimal("0.833333333")
    converted = {name: (total * rate).quantize(PLACES, ROUND_HALF_UP) for name, total in totals.items()}
    assert dict(query(public, "SELECT connection, reporting_cost FROM mart.cost_daily")) == converted
    checks = "check_name IN ('billamount', 'calls_stats_cost')"
    controls = query(public, f"SELECT connection, ours, status FROM audit.control_total WHERE {checks}")
    assert sorted(controls) == [(name, total, "matched") for name, total in sorted(totals.items())]

    written_files = write_report(public, DAY, folder / "reports", settings=ReportSettings("UTC", "GBP"))
    with next(path for path in written_files if path.name == "calls.csv").open(encoding="utf-8", newline="") as stream:
        told_in_csv = {
            (call["connection"], second_of(call["started_at"])): Decimal(call["cost"])
            for call in csv.DictReader(stream)
        }
    assert told_in_csv == batch.amounts
    assert dict(_in_workbook(written_files[0])) == batch.amounts


def _in_workbook(path: Path) -> Iterator[tuple[tuple[str, int], Decimal]]:
    """What the sheet of calls says: a number as a spreadsheet holds it, a double, by its shortest spelling."""
    book = openpyxl.load_workbook(path, read_only=True)
    rows = book["Calls"].iter_rows(min_row=3, values_only=True)
    places = {title: number for number, title in enumerate(next(rows))}
    for cells in rows:
        started, cost = cells[places["Started"]], cells[places["Cost"]]
        if isinstance(started, datetime):
            yield (cells[places["Connection"]], second_of(str(started))), Decimal(str(cost))


def check_batches(seeds: Sequence[int], count: int) -> None:
    for seed in told(f"{2 * count} amounts", seeds):
        with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder:
            check_amounts(seed, count, Path(folder))


def test_thousands_of_amounts_come_through_exactly() -> None:
    check_batches([20], 1_000)


@pytest.mark.soak
def test_a_million_amounts_come_through_exactly() -> None:
    check_batches(part(range(20)), 25_000)
