"""How a section is made of an answer: columns that many have, a list as a table, totals by currency."""

from decimal import Decimal

from warehouse.reports.model import Column, Row, Section, Value
from warehouse.reports.query import Query, Reader

CONNECTION = Column("connection", "Connection")
VENDOR = Column("vendor", "Vendor")
ACCOUNT = Column("account_id", "Account")
CURRENCY = Column("currency", "Currency")
COST_CENTRE = Column("cost_centre", "Cost centre")
IN_MONTH = "window_date >= $first AND window_date < $next"
SHOWN = 10  # the largest differences and restatements on the first page; all of them are in sections of their own

# One name and department for an extension: its telephone's, where several things share the number.
EXTENSIONS = """
extensions AS (
    SELECT connection, account_id, extension,
        first(name ORDER BY type IS DISTINCT FROM 'phone', type, extension_id) AS extension_name,
        first(department ORDER BY department IS NULL, type IS DISTINCT FROM 'phone', type, extension_id) AS department
    FROM core.extension WHERE extension IS NOT NULL GROUP BY connection, account_id, extension
)"""


def listing(
    reader: Reader,
    slug: str,
    title: str,
    columns: tuple[Column, ...],
    sql: str,
    *,
    totals: tuple[Row, ...] = (),
    notes: tuple[str, ...] = (),
) -> Section:
    """The answer to ``sql`` as a table, held in memory."""
    rows = [reader.row(answer, columns) for answer in reader.all(sql)]
    return Section(slug, title, columns, rows, len(rows), totals, notes)


def long_listing(
    reader: Reader,
    slug: str,
    title: str,
    columns: tuple[Column, ...],
    sql: str,
    order: str,
    *,
    totals: tuple[Row, ...] = (),
    notes: tuple[str, ...] = (),
    file_name: str = "",
) -> Section:
    """The answer to ``sql`` as a table that may be larger than memory: it is read each time that it is gone through."""
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    rows = Query(reader, f"{sql} ORDER BY {order}", columns)
    return Section(slug, title, columns, rows, count, totals if count else (), notes, file_name)


def totals_by_currency(
    reader: Reader, sql: str, columns: tuple[Column, ...], measures: tuple[str, ...]
) -> tuple[Row, ...]:
    """Total rows from ``sql``, which gives a currency and then the ``measures``."""
    totals: list[Row] = []
    for currency, *sums in reader.all(sql):
        values: dict[str, Value] = {"currency": currency, **dict(zip(measures, sums, strict=True))}
        values[columns[0].name] = f"Total {currency or 'without currency'}"
        totals.append(tuple(values.get(column.name) for column in columns))
    return tuple(totals)


def fraction(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """``part / whole`` to four places; None where it means nothing."""
    return (part / whole).quantize(Decimal("0.0001")) if part is not None and whole else None


def whole_and_largest(
    reader: Reader,
    sql: str,
    columns: tuple[Column, ...],
    *,
    order: str,
    size: str,
    whole: tuple[str, str, str],
    largest: tuple[str, str],
) -> tuple[Section, Section]:
    """The answer to ``sql`` as a list of its own, and its largest rows for the first page."""
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    top = list(Query(reader, f"{sql} ORDER BY {size} DESC NULLS FIRST, {order} LIMIT {SHOWN}", columns))
    rest = (f"The {SHOWN} largest of {count:,}; the others stand under “{whole[1]}”.",) if count > SHOWN else ()
    return (
        Section(whole[0], whole[1], columns, Query(reader, f"{sql} ORDER BY {order}", columns), count, (), whole[2:]),
        Section(*largest, columns, top, len(top), (), rest),
    )
