"""The control totals of PBXware's call records: the PBX's own sums and counts of a day, beside ours.

What lives here: asking for the PBX's figures, reading ours from the responses as they come, and comparing the two.
What does not: how a count is asked for page by page (``api``), and the legs themselves (``legs``).
"""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from assets.controls import control_total
from assets.http import strict_json
from assets.http.page import REFUSED, Page
from assets.pbxware.api import COUNT, STATUSES, PBXware, counted
from assets.pbxware.columns import cells, outcome_of
from assets.pbxware.directory import SINGLE, Directory
from assets.pbxware.parties import listed_extension, read_party
from assets.stream import Source
from warehouse.money import money
from warehouse.raw import Landing

CDRS = "cdr"
INCOMING, OUTGOING = "1", "2"  # ``cdrtype``
_DIRECTIONS = {"": "", INCOMING: "inbound", OUTGOING: "outbound"}  # "" for all of them, as in ``LegSums.costs``
_CHECKS = {"": "billamount", INCOMING: "billamount_incoming", OUTGOING: "billamount_outgoing"}
ROWS_BY_STATUS = "rows_by_status"
CONTROLS = {
    "billamount": "Sum of the legs' cost against the PBX's own, cdr.billamount, by tenant and day.",
    "billamount_incoming": "Sum of the inbound legs' cost against cdr.billamount of incoming calls.",
    "billamount_outgoing": "Sum of the outbound legs' cost against cdr.billamount of outgoing calls.",
    ROWS_BY_STATUS: "Number of legs against what the PBX counts as answered, unanswered, busy and failed.",
}


_CODE_ALONE = re.compile("[*#]+[0-9]{0,4}[*#]?")
_PLAIN_COST = r"(?:[0-9]{1,11}(?:\.[0-9]{1,6})?)?"
_PLAIN_COSTS = re.compile(rf"(?:{_PLAIN_COST}\n)*{_PLAIN_COST}")  # of a response, one a line


class LegSums:
    """How many legs there are and what they cost, by account, direction and outcome.

    ``internal`` is by account the cost of legs that are internal beyond doubt: to a number that the PBX lists as the
    tenant's own, or to a code alone. Any other internal leg with a cost might be one to the outside, read wrongly here.
    """

    def __init__(self, directory: Directory) -> None:
        self.internal: dict[str, Decimal] = {}
        self._directory = directory
        self._sums: dict[tuple[str, str, str], tuple[int, Decimal]] = {}

    def add(self, legs: pa.Table) -> None:
        by = ["account_id", "direction", "outcome"]
        for row in legs.group_by(by).aggregate([([], "count_all"), ("cost", "sum")]).to_pylist():
            key = (row["account_id"], row["direction"], row["outcome"])
            self._add(key, row["count_all"], row["cost_sum"] or Decimal(0))
        internal = legs.filter(pc.field("direction") == "internal")
        for row in internal.group_by(["account_id", "to_text"]).aggregate([("cost", "sum")]).to_pylist():
            if not row["cost_sum"]:
                continue
            tenant = self._directory.tenants[row["account_id"]]
            party = read_party(row["to_text"] or "", tenant, self._directory.codes, called=True)
            number = party.number or ""
            if party.kind == "did" or listed_extension(number, tenant) or _CODE_ALONE.fullmatch(number):
                known = self.internal.get(tenant.account_id, Decimal(0))
                self.internal[tenant.account_id] = known + row["cost_sum"]

    def change_direction(
        self, account: str, outcome: str, number: int, cost: Decimal, *, before: str, after: str
    ) -> None:
        """Count these legs under another direction."""
        self._add((account, before, outcome), -number, -cost)
        self._add((account, after, outcome), number, cost)

    def rows(self, direction: str | None = None, outcome: str | None = None) -> int:
        """The number of legs of a direction or an outcome."""
        return sum(
            number
            for (_, of_direction, of_outcome), (number, _) in self._sums.items()
            if direction in (None, of_direction) and outcome in (None, of_outcome)
        )

    def costs(self) -> dict[str, dict[str, Decimal]]:
        """By account and direction, "" for all of them, what the legs cost."""
        found: dict[str, dict[str, Decimal]] = {}
        for (account, direction, _), (_, cost) in self._sums.items():
            of_account = found.setdefault(account, {"": Decimal(0)})
            of_account[""] += cost
            of_account[direction] = of_account.get(direction, Decimal(0)) + cost
        return found

    def outcomes(self) -> dict[str, Counter[str]]:
        """By account, how many legs have which outcome."""
        found: dict[str, Counter[str]] = {}
        for (account, _, outcome), (number, _) in self._sums.items():
            found.setdefault(account, Counter())[outcome] += number
        return found

    def _add(self, key: tuple[str, str, str], number: int, cost: Decimal) -> None:
        numbers, costs = self._sums.get(key, (0, Decimal(0)))
        self._sums[key] = (numbers + number, costs + cost)


def cost_of(data: dict[str, Any]) -> Decimal:
    """The sum of cost of one response, as far as it can be read."""
    costs = list(cells(data, "cost"))
    if set(map(type, costs)) == {str}:
        counts = Counter(costs)  # most come often
        lines = "\n".join(counts)
        if lines.count("\n") == len(counts) - 1 and _PLAIN_COSTS.fullmatch(lines):  # as nearly always
            return sum((_plain_cost(cell) * number for cell, number in counts.items() if cell), Decimal(0))
    return sum((cost for cost in map(money, costs) if cost is not None), Decimal(0))


@lru_cache(maxsize=10_000)  # the same costs come again in every response
def _plain_cost(cell: str) -> Decimal:
    return Decimal(cell)


def ask_totals(
    pbx: PBXware, server: str | None, start: datetime, end: datetime, window: str, outcomes: Counter[str]
) -> list[Page]:
    """Ask the PBX for its own figures of a tenant's day: the sum of cost first, then the rest, several at a time.

    The sums by direction are not worth a request where there is no cost, nor the counts by status where there are no
    ``outcomes``, or where the first of them shows that the PBX has none.
    """

    def sum_of(cdrtype: str | None) -> list[Page]:
        return [pbx.billamount(server, start, end, window=window, cdrtype=cdrtype)]

    def count_of(status: str) -> list[Page]:
        near = sum(number for outcome, number in outcomes.items() if _FILTERED_AS.get(outcome) == status)
        pages = []
        for page in pbx.count(server, start, end, status, near, window=window):
            pages.append(page)
            if not _filter_respected(status, page.data):
                break
        return pages

    def asked(*asks: Callable[[], list[Page]]) -> list[Page]:
        return [page for pages in pbx.client.map(lambda ask: ask(), asks) for page in pages]

    probe, *others = STATUSES
    whole, *counts = asked(partial(sum_of, None), *([partial(count_of, probe)] if outcomes else ()))
    rest = [partial(sum_of, cdrtype) for cdrtype in (INCOMING, OUTGOING)] if money(whole.data.get("billamount")) else []
    if _count_of(probe, [(page.request, page.data) for page in counts]) is not None:
        rest += [partial(count_of, status) for status in others]
    return [whole, *counts, *asked(*rest)]


def outcomes_of(data: dict[str, Any]) -> Counter[str]:
    """How often each outcome stands in one response."""
    outcomes: Counter[str] = Counter()
    for word, number in Counter(map(str, cells(data, "status"))).items():
        outcomes[outcome_of(word)] += number
    return outcomes


# The filter ``status`` that an outcome is documented under; of the last two only where it is looked for first.
_DOCUMENTED = {"answered": "8", "no_answer": "4", "busy": "2", "failed": "1"}
_FILTERED_AS = {**_DOCUMENTED, "cancelled": "4", "voicemail": "8"}


def leg_controls(
    source: Source,
    con: duckdb.DuckDBPyConnection,
    landing: Landing,
    day: date,
    directory: Directory,
    sums: LegSums,
) -> list[dict[str, Any]]:
    """The PBX's figures of each tenant's day against ours: ``billamount``, and the number of rows by status.

    The PBX's sums by direction prove our directions. It may count internal calls with a cost as outgoing: that matches
    where its other sums are ours and exactly the legs that are internal beyond doubt make the difference; the row's
    ``remark`` says so.
    """
    costs = sums.costs()
    responses = con.execute(
        "SELECT coalesce(account_id, $single), coalesce(request->>'cdrtype', ''), body, fetched_at"
        " FROM read_parquet($raw)"
        " WHERE kind = 'cdr.billamount' OR (kind = $refused AND request->>'action' = 'cdr.billamount')",
        {"raw": str(source.lake.data_dir / landing.file), "single": SINGLE, "refused": REFUSED},
    ).fetchall()
    reported = {
        (account, kind): money(strict_json.loads(body).get("billamount")) for account, kind, body, _ in responses
    }
    rows = []
    for account, kind, _, fetched_at in responses:
        of_account = costs.get(account, {})
        ours = {each: of_account.get(direction, Decimal(0)) for each, direction in _DIRECTIONS.items()}
        mine, theirs = ours[kind], reported[(account, kind)]
        if kind and len({reported.get((account, each)) for each in ("", INCOMING, OUTGOING)}) == 1:
            theirs = None  # the PBX ignores cdrtype
        tenant = directory.tenants.get(account)
        currency = tenant.currency if tenant else source.currency
        internal, remark = sums.internal.get(account, Decimal(0)), ""
        others_match = all(reported.get((account, each)) == ours[each] for each in ("", INCOMING))
        if kind == OUTGOING and internal and others_match and theirs == mine + internal:
            mine = theirs
            remark = (
                f"{internal.normalize():f} {currency or ''} of ours are internal calls that the PBX counts as outgoing"
            )
        control = control_total(source, CDRS, day, account, _CHECKS[kind], mine, theirs, fetched_at, currency=currency)
        rows.append({**control, "remark": remark})
    return rows + _row_controls(source, con, landing, day, sums)


def _row_controls(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date, sums: LegSums
) -> list[dict[str, Any]]:
    """The rows of each tenant against the PBX's own counts by status, where it was asked for them."""
    outcomes = sums.outcomes()
    counts: dict[str, list[tuple[dict[str, str], Any]]] = {}
    read_at: dict[str, datetime] = {}
    for account, request, body, fetched_at in con.execute(
        "SELECT coalesce(account_id, $single), request, body, fetched_at FROM read_parquet($raw)"
        " WHERE kind = $count OR (kind = $refused AND request->>'action' = 'cdr.download') ORDER BY page",
        {
            "raw": str(source.lake.data_dir / landing.file),
            "single": SINGLE,
            "count": COUNT,
            "refused": REFUSED,
        },
    ).fetchall():
        counts.setdefault(account, []).append((strict_json.loads(request), strict_json.loads(body)))
        read_at[account] = fetched_at
    rows = []
    for account, responses in counts.items():
        ours, theirs = compared(outcomes.get(account, Counter()), counted_rows(responses))
        figures = Decimal(ours), None if theirs is None else Decimal(theirs)
        rows.append(control_total(source, CDRS, day, account, ROWS_BY_STATUS, *figures, read_at[account]))
    return rows


def counted_rows(responses: list[tuple[dict[str, str], Any]]) -> int | None:
    """The sum of the PBX's counts by status; None where one is missing, or where it ignores the filter."""
    counts = [_count_of(status, responses) for status in STATUSES]
    numbers = [number for number in counts if number is not None]
    repeats = len(numbers) == len(counts) and (len(set(numbers)) > 1 or not any(numbers))
    return sum(numbers) if repeats else None


def _count_of(status: str, responses: list[tuple[dict[str, str], Any]]) -> int | None:
    """The PBX's count of one status; None where these responses do not show it."""
    asked = [(int(request["page"]), data) for request, data in responses if request.get("status") == status]
    return counted(asked) if all(_filter_respected(status, data) for _, data in asked) else None


def _filter_respected(status: str, data: dict[str, Any]) -> bool:
    """Whether a response can be one to this filter: answered calls where they were asked for, and nowhere else.

    PBXes differ in what they count under the other statuses.
    """
    found = {_DOCUMENTED.get(outcome) for outcome in outcomes_of(data)} - {None}
    return found <= {"8"} if status == "8" else "8" not in found


def compared(outcomes: Counter[str], counts: int | None) -> tuple[int, int | None]:
    """Our number of rows and the PBX's. None: it has none that could be compared.

    The filter knows four statuses. Rows of others (Voicemail, Cancelled, …) it may count under one of those or not at
    all; where it seems to count some of them, the two figures cannot be compared.
    """
    every = outcomes.total()
    certain = sum(number for outcome, number in outcomes.items() if outcome in _DOCUMENTED)
    if counts == certain:
        return certain, counts
    return every, None if counts is not None and certain < counts < every else counts
