"""The control totals of Sipcentric: the vendor's own counts and sums, beside ours.

What lives here: what is compared, and reading the vendor's figures of lists, calls and messages. What does not: asking
for them (``api``), and the rows themselves (``directory``, ``calls``, ``messages``).
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from assets.controls import control_total
from assets.http import strict_json
from assets.parsing import sum_if_complete
from assets.stream import Source
from warehouse.duck import packaged_sql
from warehouse.money import money
from warehouse.raw import Landing

LISTS = "lists"
CALLS = "cdr"
MESSAGES = "sms"
_CALL_SUMS = packaged_sql(Path(__file__).parent, "call_sums")
METRICS = ("count", "cost", "duration")
TOTAL_ITEMS = "total_items"
LIST_CONTROLS = {
    TOTAL_ITEMS: "Number of entries of a customer's list against its totalItems.",
    "bundle_minutes": "A bundle's used and available minutes against its inclusive ones.",
}
MESSAGE_CONTROLS = {
    TOTAL_ITEMS: "Number of different messages against totalItems, which counts all there are: where all were read.",
}
CALL_CONTROLS = {
    TOTAL_ITEMS: "Number of different calls read against totalItems of what was asked for.",
    "calls_stats_count": "Number of the day's calls against calls/stats, where the release has it.",
    "calls_stats_cost": "Sum of the day's cost against calls/stats, where the release has it.",
    "calls_stats_duration": "Seconds of the day's calls against calls/stats, where the release has it.",
}


def bundle_controls(source: Source, bundles: list[dict[str, Any]], today: date) -> list[dict[str, Any]]:
    """A bundle's used and available minutes make its inclusive ones."""
    rows = []
    for bundle in bundles:
        parts = (bundle["used_minutes"], bundle["available_minutes"], bundle["inclusive_minutes"])
        known = None not in parts
        ours = Decimal(parts[0] + parts[1]) if known else None
        theirs = Decimal(parts[2]) if known else None
        subject = f"{bundle['bundle_id']}/{bundle['valid_from']:%Y-%m-%d}"
        account, read_at = bundle["account_id"], bundle["fetched_at"]
        rows.append(control_total(source, LISTS, today, account, "bundle_minutes", ours, theirs, read_at, subject))
    return rows


def call_controls(
    source: Source, con: duckdb.DuckDBPyConnection, raw: str, day: date, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """``totalItems`` of what was asked against the different calls read; ``calls/stats`` where the release has it.

    What was read is in the relations ``call_read`` and ``repeated`` of ``calls.CallParser``.
    """
    rows = []
    counted = dict(
        con.execute(
            "SELECT account_id, count(DISTINCT uri) FROM call_read WHERE uri IS NOT NULL GROUP BY ALL"
        ).fetchall()
    )
    currencies = dict(con.execute("SELECT account_id, currency FROM account_currency").fetchall())
    asked: dict[str, dict[str, int]] = {}
    stats: dict[str, dict[str, Any]] = {}
    at: dict[str, datetime] = {}
    landed = con.execute(
        "SELECT account_id, request, fetched_at, CASE kind WHEN 'calls' THEN body->>'totalItems' END,"
        " CASE WHEN kind <> 'calls' THEN body END FROM read_parquet($raw)",
        {"raw": raw},
    )
    for account, request, fetched_at, total, figure in landed.fetchall():
        at[account] = fetched_at
        arguments = strict_json.loads(request)
        if total is not None:
            part = f"{arguments['startedAfter']}/{arguments['startedBefore']}"
            asked.setdefault(account, {})[part] = int(total)
        else:
            metric = arguments["metric"]
            stats.setdefault(account, {})[metric] = total_of_stats(strict_json.loads(figure), metric)
    # What was asked reaches a second beyond the day. Not documented is whether its bounds are inclusive, and whether
    # stats count local calls.
    wide = (start - timedelta(seconds=1), end + timedelta(microseconds=1))
    within = [_sums(con, *span, local) for local in (True, False) for span in ((start, end), wide)]
    for account in sorted(at):
        theirs = Decimal(sum(asked.get(account, {}).values()))
        overlap = _twice(con, account)
        mine = Decimal(counted.get(account, 0)) + overlap
        rows.append(control_total(source, CALLS, day, account, TOTAL_ITEMS, mine, theirs, at[account]))
        for metric in METRICS:
            reported = stats.get(account, {}).get(metric)
            sums = [of_account.get(account, {}).get(metric, Decimal(0)) for of_account in within]
            mine = reported if reported in sums else sums[0]
            check, currency = f"calls_stats_{metric}", currencies.get(account) if metric == "cost" else None
            rows.append(
                control_total(source, CALLS, day, account, check, mine, reported, at[account], currency=currency)
            )
    return rows


def _sums(con: duckdb.DuckDBPyConnection, start: datetime, end: datetime, local: bool) -> dict[str, dict[str, Decimal]]:
    """Number, cost and seconds of each account's different calls, as ``call_sums.sql`` says."""
    found = con.execute(_CALL_SUMS, {"start": start, "end": end, "local": local}).fetchall()
    return {
        account: {"count": Decimal(count), "cost": cost or Decimal(0), "duration": Decimal(seconds or 0)}
        for account, count, cost, seconds in found
    }


def _twice(con: duckdb.DuckDBPyConnection, account: str) -> Decimal:
    """The number of calls that are in two responses: those in the second by which neighbouring slices overlap."""
    found = con.execute(
        "SELECT count(*) - count(DISTINCT uri)"
        " FROM (SELECT DISTINCT page, uri FROM call_read WHERE account_id = $account)",
        {"account": account},
    ).fetchall()
    return Decimal(found[0][0])


def total_of_stats(data: Any, metric: str) -> Decimal | None:
    """A ``calls/stats`` response's total: its ``totals``, else the sum of its rows' last column; None if unreadable."""
    if not isinstance(data, dict):
        return None
    totals = data.get("totals")
    if isinstance(totals, dict):
        amounts = [money(value) for value in ([totals[metric]] if metric in totals else totals.values())]
        known = [amount for amount in amounts if amount is not None]
        if len(known) == 1:
            return known[0]
    if isinstance(totals, list) and totals:
        return money(totals[-1])
    if totals is not None and not isinstance(totals, (dict, list)):
        return money(totals)
    rows = data.get("rows")
    if isinstance(rows, list) and all(isinstance(row, list) and row for row in rows):
        return sum_if_complete(money(row[-1]) for row in rows)
    return None


def message_controls(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date
) -> list[dict[str, Any]]:
    """``totalItems`` of each customer's messages against those that were understood or set aside.

    It counts the messages of all time. Where the reading could end before it came to them all, there is no figure to
    compare with.
    """
    parsed = dict(
        con.execute(
            "SELECT account_id, count(DISTINCT coalesce(nullif(uri, ''), raw_row::VARCHAR)) FROM parsed GROUP BY ALL"
        ).fetchall()
    )
    rows = []
    for account, landed, total, read_at in con.execute(
        "SELECT account_id, sum(rows), max(try_cast(body->>'totalItems' AS BIGINT)), max(fetched_at)"
        " FROM read_parquet($raw) WHERE kind = 'sms' GROUP BY account_id ORDER BY account_id",
        {"raw": str(source.lake.data_dir / landing.file)},
    ).fetchall():
        theirs = Decimal(total) if total is not None and landed == total else None
        subject = f"{landing.window_from}..{landing.window_to}"
        ours = Decimal(parsed.get(account, 0))
        rows.append(control_total(source, MESSAGES, day, account, TOTAL_ITEMS, ours, theirs, read_at, subject))
    return rows
