"""Is the month reconciled: the vendors' own control totals, TIM4biz against the PBX, and our own tie-outs."""

from warehouse.reports.model import Column, Flag, Kind, Level, Section
from warehouse.reports.query import Reader
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, CURRENCY, VENDOR, listing, whole_and_largest

_CONTROLS = (
    CONNECTION,
    VENDOR,
    Column("check_name", "Check"),
    Column("compares", "What is compared"),
    Column("matched", "Matched", Kind.INT),
    Column("variance", "Variance", Kind.INT),
    Column("unavailable", "Unavailable", Kind.INT),
)


def controls(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, vendor, check_name, min(compares) AS compares, "
        "count(*) FILTER (status = 'matched'), count(*) FILTER (status = 'variance'), "
        "count(*) FILTER (status = 'unavailable') "
        "FROM audit.control_total WHERE window_date >= $first AND window_date < $next "
        "GROUP BY GROUPING SETS ((connection, vendor, check_name), ()) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _CONTROLS) for answer in answers if not answer[0]]
    totals = tuple(("Total", *answer[2:]) for answer in answers if answer[0]) if rows else ()
    note = (
        "Matched: what the vendor itself adds up, such as a day's cost or calls, is what its records add up to here. "
        "Unavailable: the vendor gave no figure of its own."
    )
    return Section(
        "proof_reconciled", "Reconciled? Vendors' control totals", _CONTROLS, rows, len(rows), totals, (note,)
    )


_CLASSES = ("exact", "within_tolerance", "not_compared", "mismatch", "only_theirs", "only_ours")
_EXTENSIONS = (
    CONNECTION,
    Column("pbx_connection", "PBX"),
    Column("extension_days", "Extensions and days", Kind.INT),
    Column("exact", "Exact", Kind.INT),
    Column("within_tolerance", "Within tolerance", Kind.INT),
    Column("not_compared", "Not compared", Kind.INT),
    Column("mismatch", "Mismatch", Kind.INT),
    Column("only_theirs", "Only TIM4biz", Kind.INT),
    Column("only_ours", "Only the PBX", Kind.INT),
)


def extensions(reader: Reader) -> Section:
    """Days of extensions by class; one that only TIM4biz has is of no PBX."""
    counts = ", ".join(f"count(*) FILTER (class = '{name}')" for name in _CLASSES)
    sql = (
        f"SELECT connection, pbx_connection, count(*), {counts} FROM mart.extension_reconciliation "
        "WHERE call_date >= $first AND call_date < $next GROUP BY connection, pbx_connection ORDER BY ALL"
    )
    note = "TIM4biz's totals against the PBX's own calls, one count for each extension and day."
    return listing(reader, "proof_extensions", "Reconciled? TIM4biz against the PBX", _EXTENSIONS, sql, notes=(note,))


_VARIANCES = (
    Column("window_date", "Day", Kind.DATE),
    CONNECTION,
    ACCOUNT,
    Column("check_name", "Check"),
    Column("subject", "Subject"),
    Column("ours", "Ours", Kind.QUANTITY),
    Column("theirs", "Vendor's", Kind.QUANTITY),
    Column("difference", "Difference", Kind.QUANTITY),
    CURRENCY,
    Column("compares", "What is compared"),
)


def variances(reader: Reader) -> tuple[Section, Section]:
    sql = (
        "SELECT window_date, connection, account_id, check_name, subject, ours, theirs, difference, currency, compares "
        "FROM audit.control_total WHERE status = 'variance' AND window_date >= $first AND window_date < $next"
    )
    return whole_and_largest(
        reader,
        sql,
        _VARIANCES,
        order="window_date, connection, account_id, check_name, subject",
        size="abs(difference)",
        whole=("variances", "Control variances", "Difference: ours less the vendor's."),
        largest=("proof_variances", "Largest control variances"),
    )


def reconciled_flags(controls: Section, variances: Section) -> list[Flag]:
    if variances.row_count:
        count = variances.row_count
        text = f"{count:,} of the vendors' own control totals differ{'s' if count == 1 else ''} from ours."
        return [Flag(Level.ALARM, "NOT RECONCILED", text)]
    matched, unavailable = (controls.totals[0][n] for n in (4, 6)) if controls.totals else (0, 0)
    if not matched:
        return [Flag(Level.WARNING, "NOT PROVEN", "No vendor gave a control total to check this month against.")]
    also = f"; {unavailable:,} were not to be had" if unavailable else ""
    return [Flag(Level.OK, "RECONCILED", f"All {matched:,} of the vendors' own control totals equal ours{also}.")]


def extension_flags(extensions: Section) -> list[Flag]:
    apart = sum(int(str(row[n] or 0)) for row in extensions.rows for n in (5, 6, 7))
    if not apart:
        return []
    text = f"{apart:,} days of extensions in TIM4biz do not agree with the PBX: see mart.extension_reconciliation."
    return [Flag(Level.WARNING, "TIM4BIZ DIFFERS", text)]


def tie_out_flags(reader: Reader) -> list[Flag]:
    (broken,) = reader.one(
        "SELECT count(*) FROM audit.tie_out WHERE difference <> 0 AND "
        "(tie_date IS NULL OR (tie_date >= $first AND tie_date < $next))"
    )
    sums = "sum of this database differs" if broken == 1 else "sums of this database differ"
    text = f"{broken:,} {sums} from the records added up: do not use it."
    return [Flag(Level.ALARM, "NOT TIED OUT", text)] if broken else []
