"""The messages of Sipcentric as rows of ``core.sms``.

What lives here: reading the messages of one day out of a landing that holds several. What does not: who a party is
(``parties``), and the texts of messages, which ``api`` takes out before anything is landed.
"""

from datetime import date
from pathlib import Path

import duckdb

from assets.controls import quarantined
from assets.sipcentric.controls import LISTS, MESSAGES, message_controls
from assets.sipcentric.directory import customers_of
from assets.sipcentric.parties import TEXTS, party_table, prepare
from assets.stream import Source
from warehouse.duck import packaged_sql
from warehouse.layout import bounds
from warehouse.merge import Normalised
from warehouse.raw import Landing
from warehouse.schema import SMS

_FIELDS, _MESSAGES = (packaged_sql(Path(__file__).parent, name) for name in ("message_fields", "messages"))


def normalise_messages(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None
) -> Normalised:
    """The messages of a day out of a landing that holds several days.

    A message whose day cannot be read is quarantined on the first day of the landing; one that lies before or after
    them all is counted there as out of window.
    """
    assert day is not None
    start, end = bounds(day, source.zone)
    lists = source.lake.raw.landing_at(source.name, LISTS, landing.depends_on[LISTS])
    own = prepare(source, con, lists)
    con.execute(_FIELDS, {"raw": str(source.lake.raw.verified(landing))})
    con.register("party", party_table(source, own, con.execute(TEXTS).fetchall()))
    parameters = {"connection": source.name, "day": day, "file": landing.file, "start": start, "end": end}
    con.execute(_MESSAGES, parameters)
    if day != landing.window_from:
        return Normalised({SMS: "fresh_sms"})
    missing = len(customers_of(source, lists)) - len(
        {response["account_id"] for response in source.lake.raw.responses(landing)}
    )
    warnings = [f"the vendor does not give {MESSAGES} of {missing} customers"] if missing else []
    assert landing.window_to is not None
    _, end = bounds(landing.window_to, source.zone)
    outside = con.execute(
        "SELECT count(*) FROM parsed WHERE problem IS NULL AND NOT (sent >= $start AND sent < $end)",
        {"start": start, "end": end},
    ).fetchall()[0][0]
    controls = message_controls(source, con, landing, day)
    quarantine = quarantined(source, MESSAGES, con, landing.file, day)
    return Normalised({SMS: "fresh_sms"}, controls, quarantine, outside, warnings)
