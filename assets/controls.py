"""The rows by which a reading is proved or found wanting: control totals and quarantine.

What lives here: making those rows, the same way for every vendor. What does not: which figures are compared and what is
wrong with a record (the vendors' folders), and keeping the rows (``assets.load``).
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from assets.stream import Source


def control_total(
    source: Source,
    stream: str,
    day: date,
    account: str | None,
    check: str,
    ours: Decimal | None,
    theirs: Decimal | None,
    read_at: datetime,
    subject: str = "",
    currency: str | None = None,
    rounding: Decimal = Decimal(0),
) -> dict[str, Any]:
    """One row of ``audit.control_total``; without one of the two figures it is unavailable, never matched.

    ``currency`` is that of both figures, None where they are no money. They match where they differ by no more than
    ``rounding``, what the vendor's rounding of single figures adds up to. ``Stream.controls`` says what is compared.
    """
    difference = None if ours is None or theirs is None else ours - theirs
    status = "unavailable" if difference is None else "matched" if abs(difference) <= rounding else "variance"
    return {
        "window_date": day,
        "vendor": source.vendor,
        "connection": source.name,
        "account_id": account,
        "check_name": check,
        "subject": subject,
        "ours": ours,
        "theirs": theirs,
        "difference": difference,
        "currency": currency,
        "status": status,
        "stream": stream,
        "fetched_at": read_at,
    }


def quarantined(
    source: Source, stream: str, con: duckdb.DuckDBPyConnection, file: str, day: date
) -> list[dict[str, Any]]:
    """The rows of ``audit.quarantine`` for the records of the relation ``parsed`` that have a ``problem``.

    ``file`` is that of the landing they are in.
    """
    found = con.execute(
        "SELECT account_id, problem, page, raw_row, fetched_at FROM parsed WHERE problem IS NOT NULL ORDER BY raw_row"
    ).fetchall()
    return [
        {
            "vendor": source.vendor,
            "connection": source.name,
            "account_id": account,
            "raw_file": file,
            "raw_row": raw_row,
            "fetched_at": fetched_at,
            **quarantined_as(stream, day, problem, page),
        }
        for account, problem, page, raw_row, fetched_at in found
    ]


def quarantined_as(stream: str, day: date, reason: str, page: int) -> dict[str, Any]:
    """The columns of ``audit.quarantine`` that do not say where the record was read."""
    return {"window_date": day, "stream": stream, "reason": reason, "page": page}
