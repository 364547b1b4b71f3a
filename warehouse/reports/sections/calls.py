"""Calls: busy hours, lists of calls, what is unrated, and TIM4biz against the PBX."""

from decimal import Decimal

from warehouse.reports.model import Column, Kind, Row, Section, Value, show_money, show_percent
from warehouse.reports.query import Query, Reader
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, CURRENCY, EXTENSIONS, fraction, listing, long_listing

TOP_CALLS = 50
_CALL_COLUMNS = (
    Column("started_at", "Started", Kind.DATETIME),
    CONNECTION,
    ACCOUNT,
    Column("direction", "Direction"),
    Column("outcome", "Outcome"),
    Column("extension", "Extension"),
    Column("extension_name", "Name"),
    Column("remote_e164", "Outside number"),
    Column("remote_country", "Country"),
    Column("legs", "Legs", Kind.INT),
    Column("talk_seconds", "Talk time", Kind.DURATION),
    Column("cost", "Cost", Kind.MONEY, 4),
    CURRENCY,
    Column("unrated_legs", "Unrated legs", Kind.INT),
    Column("call_id", "Call"),
)
_CALL_NAMES = [column.name for column in _CALL_COLUMNS]
_CALLS = f"""
WITH {EXTENSIONS},
calls AS (
    SELECT c.*, extension_name FROM core.call c LEFT JOIN extensions e
        ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id AND e.extension = c.extension
    WHERE call_date >= $first AND call_date < $next
)
"""
# The same, but a call that came in and was forwarded is where its dearest leg went: what it cost it did not cost here.
_CALLS_WHERE_THEY_WENT = f"""
WITH {EXTENSIONS},
forwarded AS (
    SELECT c.call_id, leg.direction, leg.extension, leg.remote_e164, leg.remote_country
    FROM core.call c
    JOIN core.call_leg l ON l.call_id = c.call_id AND l.call_date = c.call_date
    JOIN core.cdr leg ON leg.cdr_id = l.cdr_id
    WHERE c.call_date >= $first AND c.call_date < $next AND c.direction = 'inbound' AND c.outbound_legs > 0
        AND leg.direction = 'outbound' AND leg.cost > 0
    QUALIFY row_number() OVER (PARTITION BY c.call_id ORDER BY leg.cost DESC, l.leg_number) = 1
),
calls AS (
    SELECT c.* REPLACE (
            coalesce(f.direction, c.direction) AS direction, coalesce(f.extension, c.extension) AS extension,
            CASE WHEN f.call_id IS NULL THEN c.remote_e164 ELSE f.remote_e164 END AS remote_e164,
            CASE WHEN f.call_id IS NULL THEN c.remote_country ELSE f.remote_country END AS remote_country
        ), extension_name
    FROM core.call c
    LEFT JOIN forwarded f ON f.call_id = c.call_id
    LEFT JOIN extensions e ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id
        AND e.extension = coalesce(f.extension, c.extension)
    WHERE c.call_date >= $first AND c.call_date < $next
)
"""
_CALL_FIELDS = (
    "epoch_us(started_at) AS started_us, connection, account_id, direction, outcome, extension, extension_name, "
    "remote_e164, remote_country, legs, talk_seconds, cost, currency, unrated_legs, call_id"
)


def busy_hours(reader: Reader) -> Section:
    columns = (
        Column("hour", "Hour"),
        Column("calls", "Calls", Kind.INT),
        Column("answered", "Answered", Kind.INT),
        Column("erlangs", "Erlangs (mean of the days)", Kind.QUANTITY),
        Column("peak_concurrent", "Peak at once", Kind.INT),
    )
    answers = reader.all(
        "SELECT hour(timezone($zone, hour)) AS h, sum(calls)::BIGINT, sum(answered)::BIGINT, sum(erlangs), "
        "max(peak_concurrent) FROM mart.usage_hourly "
        "WHERE hour >= timezone($zone, $first::TIMESTAMP) AND hour < timezone($zone, $next::TIMESTAMP) GROUP BY h"
    )
    (days,) = reader.one(
        "SELECT count(DISTINCT timezone($zone, hour)::DATE) FROM mart.usage_hourly "
        "WHERE hour >= timezone($zone, $first::TIMESTAMP) AND hour < timezone($zone, $next::TIMESTAMP)"
    )
    found = {answer[0]: answer for answer in answers}
    rows: list[Row] = []
    for hour in range(24) if found else ():
        _, calls, answered, erlangs, peak = found.get(hour, (hour, 0, 0, Decimal(0), 0))
        mean = (erlangs / days).quantize(Decimal("0.000001"))
        rows.append((f"{hour:02}:00", calls, answered, mean, peak))
    totals: tuple[Row, ...] = ()
    if rows:
        calls, answered = (sum(int(str(row[n])) for row in rows) for n in (1, 2))
        totals = (("Total", calls, answered, None, None),)
    notes = (
        f"By the hour of the day, over {days} day{'s' if days != 1 else ''} with traffic.",
        "Erlangs: how many calls were up on average; 1 is one line in use all the hour. Peak at once: the most calls "
        "up at one moment on one account in one direction.",
    )
    return Section("busy_hours", "Busy hours", columns, rows, len(rows), totals, notes)


def top_calls(reader: Reader, slug: str, title: str, order: str, *, per_currency: bool = False) -> Section:
    partition = "PARTITION BY currency " if per_currency else ""
    column = order.split()[0]
    sql = (
        f"{_CALLS_WHERE_THEY_WENT if per_currency else _CALLS} SELECT {_CALL_FIELDS} FROM calls WHERE {column} > 0 "
        f"QUALIFY row_number() OVER ({partition}ORDER BY {order}, started_at, call_id) <= {TOP_CALLS} "
        f"ORDER BY {'currency, ' if per_currency else ''}{order}, started_at, call_id"
    )
    note = f"The {TOP_CALLS} dearest calls of each currency." if per_currency else f"The {TOP_CALLS} longest calls."
    return listing(reader, slug, title, _CALL_COLUMNS, sql, notes=(note,))


def long_calls(reader: Reader) -> Section:
    columns = (
        *_CALL_COLUMNS[: _CALL_NAMES.index("talk_seconds")],
        Column("longest_seconds", "Longest leg", Kind.DURATION),
        *_CALL_COLUMNS[_CALL_NAMES.index("talk_seconds") :],
    )
    fields = _CALL_FIELDS.replace("talk_seconds", "longest_seconds, talk_seconds")
    sql = f"""{_CALLS},
longest AS (
    SELECT call_id, max(duration_seconds) AS longest_seconds
    FROM calls JOIN core.call_leg USING (call_id, call_date) JOIN core.cdr USING (cdr_id)
    WHERE is_long GROUP BY call_id
)
SELECT {fields} FROM calls LEFT JOIN longest USING (call_id)
WHERE is_long ORDER BY longest_seconds DESC, started_at, call_id"""
    note = (
        "Calls with a leg of long_call_hours (tollbook.toml) or more: nearly always lines that nobody hung up. Ask the "
        f"carrier about their cost. {share_of_long(reader)}"
    )
    return listing(reader, "long_calls", "Long calls", columns, sql, notes=(note,))


def share_of_long(reader: Reader) -> str:
    """How much of the month's calls, minutes and cost the long calls are; empty where there are none."""
    count, of, talk, all_talk = reader.one(
        "SELECT count(*) FILTER (is_long), count(*), coalesce(sum(talk_seconds) FILTER (is_long), 0)::BIGINT, "
        "coalesce(sum(talk_seconds), 0)::BIGINT FROM core.call WHERE call_date >= $first AND call_date < $next"
    )
    if not count:
        return ""
    costs = reader.all(
        "SELECT currency, sum(cost) FILTER (is_long), sum(cost) FROM core.call WHERE call_date >= $first "
        "AND call_date < $next GROUP BY currency HAVING sum(cost) FILTER (is_long) > 0 ORDER BY currency"
    )
    shares = [f"{talk // 60:,} minutes ({_share(Decimal(talk), Decimal(all_talk))} of all talk)"]
    shares += [
        f"{show_money(cost, currency or 'without currency')} ({_share(cost, total)} of all calls in {currency})"
        for currency, cost, total in costs
    ]
    return f"{count:,} of {of:,} calls: {', '.join(shares)}."


def _share(part: Decimal, whole: Decimal) -> str:
    share = fraction(part, whole)
    return "0 %" if share is None else show_percent(share)


def all_calls(reader: Reader) -> Section:
    rows = Query(reader, f"{_CALLS} SELECT {_CALL_FIELDS} FROM calls ORDER BY started_at, call_id", _CALL_COLUMNS)
    totals = []
    for currency, legs, seconds, cost, unrated in reader.all(
        "SELECT currency, sum(legs)::BIGINT, sum(talk_seconds)::BIGINT, sum(cost), sum(unrated_legs)::BIGINT "
        "FROM core.call WHERE call_date >= $first AND call_date < $next GROUP BY currency ORDER BY currency"
    ):
        values: dict[str, Value] = {
            "started_at": f"Total {currency or 'without currency'}",
            "legs": legs,
            "talk_seconds": seconds,
            "cost": cost,
            "currency": currency,
            "unrated_legs": unrated,
        }
        totals.append(tuple(values.get(column.name) for column in _CALL_COLUMNS))
    (count,) = reader.one("SELECT count(*) FROM core.call WHERE call_date >= $first AND call_date < $next")
    note = (
        "A call stands on the day it started; the cost sheets date each of its legs, so that a call over the month's "
        "end can make a difference between them."
    )
    return Section("calls", "Calls", _CALL_COLUMNS, rows, count, tuple(totals), (note,))


def unrated(reader: Reader) -> Section:
    columns = (
        Column("kind", "Record"),
        Column("started_at", "Time", Kind.DATETIME),
        CONNECTION,
        ACCOUNT,
        Column("direction", "Direction"),
        Column("extension", "Extension"),
        Column("remote_e164", "Outside number"),
        Column("remote_country", "Country"),
        Column("duration_seconds", "Duration", Kind.DURATION),
        Column("record_id", "Record id"),
    )
    sql = """
SELECT 'call leg' AS kind, epoch_us(started_at) AS started_us, connection, account_id, direction, extension,
    remote_e164, remote_country, duration_seconds, cdr_id AS id
FROM core.cdr WHERE cost IS NULL AND call_date >= $first AND call_date < $next
UNION ALL
SELECT 'message', epoch_us(sent_at), connection, account_id, direction, NULL, remote_e164, remote_country, NULL, sms_id
FROM core.sms WHERE cost IS NULL AND sms_date >= $first AND sms_date < $next"""
    note = "Call legs and messages for which the vendor gave no cost: unknown, not free."
    return long_listing(reader, "unrated", "Unrated", columns, sql, "started_us, id", notes=(note,))


def reconciliation(reader: Reader) -> Section:
    columns = (
        Column("call_date", "Day", Kind.DATE),
        CONNECTION,
        Column("pbx_connection", "PBX"),
        Column("extension", "Extension"),
        Column("class", "Result"),
        Column("our_calls", "Calls on the PBX", Kind.INT),
        Column("their_calls", "Calls in TIM4biz", Kind.INT),
        Column("calls_difference", "Calls difference", Kind.INT),
        Column("our_seconds", "Talk on the PBX", Kind.DURATION),
        Column("their_seconds", "Talk in TIM4biz", Kind.DURATION),
        Column("seconds_difference", "Talk difference", Kind.DURATION),
        Column("our_cost", "Cost on the PBX", Kind.MONEY, 4),
        Column("their_cost", "Cost in TIM4biz", Kind.MONEY, 4),
        Column("cost_difference", "Cost difference", Kind.MONEY, 4),
        CURRENCY,
    )
    sql = (
        f"SELECT {', '.join(column.name for column in columns)} FROM mart.extension_reconciliation "
        "WHERE class NOT IN ('exact', 'not_compared') AND call_date >= $first AND call_date < $next"
    )
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    (compared,) = reader.one(
        "SELECT count(*) FROM mart.extension_reconciliation WHERE call_date >= $first AND call_date < $next"
    )
    rows = Query(reader, f"{sql} ORDER BY call_date, connection, extension, pbx_connection", columns)
    note = f"TIM4biz against the PBX: {count:,} of {compared:,} days of an extension differ."
    return Section("reconciliation", "Reconciliation", columns, rows, count, (), (note,))
