"""What a column and a table are, and the columns that many tables share.

What lives here: ``Column``, ``Table``, their types, and the column shapes that stand in several tables. What does not:
any one table (``core``, ``marts``, ``audit``).

Types are DuckDB's. Money is DECIMAL(18,6) in the ``currency`` of its row and never summed across currencies. A
TIMESTAMPTZ is an instant in UTC; a ``*_date`` or ``*_on`` is a day: for records of calls the business day in the
configured zone, for invoices the vendor's own date.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

MONEY = "DECIMAL(18,6)"
TOTAL = "DECIMAL(38,6)"  # a sum of whatever a vendor may have said
INSTANT = "TIMESTAMPTZ"
VENDORS = ("pbxware", "sipcentric", "tim4biz", "time4vps")
USAGE_KINDS = ("call", "sms", "bundle")  # charged as they are used; the other kinds stand on an invoice
CHARGE_KINDS = (*USAGE_KINDS, "hosting", "tax", "fee", "credit")
FIRST_YEAR, LAST_YEAR = 1990, 2100  # a day outside them is a slip of the pen, or stands for none


@dataclass(frozen=True)
class Column:
    """One column: DuckDB type and, in the comment, meaning, unit and what NULL says."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Scope:
    """Which days of a derived table an update makes again: those that the SQL macro ``macro`` says are in it.

    ``macro`` None: all of the table, every time. ``kept``: only of days that are kept, so what was derived of dropped
    days is deleted; else it stays, or goes with what it is made of. ``instants``: the macro is asked about a moment,
    not a day. ``update`` says which days are in each.
    """

    macro: str | None
    kept: bool = False
    instants: bool = False

    def holds(self, day: str) -> str:
        """The SQL condition on a day, or for ``instants`` a moment."""
        return f"{self.macro}({day})" if self.macro else "true"


CALL_DAYS = Scope("in_call_days", kept=True)
HOURS = Scope("in_hours", instants=True)
COST_DAYS = Scope("in_cost_days", kept=True)
COST_MONTHS = Scope("in_cost_months", kept=True)
CLOSED_MONTHS = Scope("in_closed_months")
MOVED_MONTHS = Scope("in_moved_months", kept=True)
RECONCILED_DAYS = Scope("in_reconciled_days", kept=True)
CALL_MONTHS = Scope("in_call_months")
CALLBACK_DAYS = Scope("in_callback_days")
FRAUD_DAYS = Scope("in_fraud_days")
EVERY_TIME = Scope(None)


@dataclass(frozen=True)
class Table:
    """One table: ``key`` is unique in it, ``date_column`` is the day it is replaced by (None: replaced whole).

    ``in_lake`` tables rest as Parquet in the lake; the others are made inside the database. ``derived`` columns are our
    inference (a direction, an E.164 form): when only they change, the vendor has not restated anything.

    A table that is made of others says of which (``reads``, by full name), which of its days an update makes again
    (``scope``), and whether it is proved against its facts (``tied_out``, by ``tie_outs/<name>.sql``).
    """

    schema: str
    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    date_column: str | None = None
    in_lake: bool = False
    derived: tuple[str, ...] = ()
    scope: Scope = EVERY_TIME
    reads: tuple[str, ...] = ()
    tied_out: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def arrow(self) -> "pa.Schema":
        """The Arrow schema that the Parquet write gate holds every file of this table to."""
        import pyarrow as pa  # here, for it takes longer to import than `tollbook status` to answer

        return pa.schema([pa.field(c.name, _arrow_type(c.type)) for c in self.columns])


def _arrow_type(duck: str) -> "pa.DataType":
    import pyarrow as pa

    if duck.startswith("DECIMAL("):
        precision, scale = duck[8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return {
        "VARCHAR": pa.string(),
        "BOOLEAN": pa.bool_(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "DATE": pa.date32(),
        INSTANT: pa.timestamp("us", tz="UTC"),
    }[duck]


VENDOR = Column("vendor", "VARCHAR", "pbxware, sipcentric, tim4biz or time4vps")
CONNECTION = Column("connection", "VARCHAR", "Name of the connection in tollbook.toml")
ACCOUNT = Column("account_id", "VARCHAR", "PBXware server (a key of tenant.list) or Sipcentric customer; NULL if none")
CURRENCY = Column("currency", "VARCHAR", "ISO 4217 code of the amounts in this row")
PROVENANCE = (
    Column("raw_file", "VARCHAR", "Landed file the row came from, relative to the data directory"),
    Column("raw_row", "BIGINT", "Number of the record within that file, from 1"),
    Column("fetched_at", INSTANT, "When the vendor was first seen to say exactly this"),
)
EXTENSION = Column("extension", "VARCHAR", "Our extension that made or took the call; NULL if none is known")
DIRECTION = Column("direction", "VARCHAR", "inbound, outbound, internal or unknown")
OUTCOME = Column("outcome", "VARCHAR", "answered, no_answer, busy, failed, cancelled, voicemail or unknown")
REMOTE = (
    Column(
        "remote_e164",
        "VARCHAR",
        "Outside party in E.164, without what was dialled before it; NULL for internal calls and unreadable numbers",
    ),
    Column(
        "remote_country",
        "VARCHAR",
        "ISO 3166 alpha-2 country of the outside party; NULL if unknown, worldwide or short",
    ),
)
REMOTE_TYPE = Column(
    "remote_type",
    "VARCHAR",
    "Kind of outside number: mobile, fixed, fixed_or_mobile, toll_free, premium (also directory enquiries), "
    "shared_cost, voip, personal, pager, uan, voicemail, emergency, short or unknown; NULL for internal calls",
)
DIMENSIONS = (VENDOR, CONNECTION, ACCOUNT)
MONTH = Column("month", "DATE", "First day of the month")
CLOSED_AT = Column("closed_at", INSTANT, "When the month was closed")
CLOSED_BY_LOAD = Column("closed_by_load", "VARCHAR", "The newest load whose records are in the closed figures")
