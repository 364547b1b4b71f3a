"""Every table and column of Tollbook, once: name, type, unit and meaning.

What lives here: the declarations from which the Parquet write gate (Arrow), the DuckDB tables and their comments, and
the data dictionary are made. What does not: how a table is filled (the vendor modules of ``assets`` for ``core``,
``warehouse/marts/*.sql`` for ``mart``) or stored (``lake``, ``database``).

Types are DuckDB's. Money is DECIMAL(18,6) in the ``currency`` of its row and never summed across currencies. A
TIMESTAMPTZ is an instant in UTC; a ``*_date`` or ``*_on`` is a day: for records of calls the business day in the
configured zone, for invoices the vendor's own date.
"""

from dataclasses import dataclass
from functools import cache
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
class Table:
    """One table: ``key`` is unique in it, ``date_column`` is the day it is replaced by (None: replaced whole).

    ``in_lake`` tables rest as Parquet in the lake; the others are made inside the database. ``derived`` columns are our
    inference (a direction, an E.164 form): when only they change, the vendor has not restated anything.
    """

    schema: str
    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    date_column: str | None = None
    in_lake: bool = False
    derived: tuple[str, ...] = ()

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


def _c(name: str, type_: str, comment: str) -> Column:
    return Column(name, type_, comment)


VENDOR = _c("vendor", "VARCHAR", "pbxware, sipcentric, tim4biz or time4vps")
CONNECTION = _c("connection", "VARCHAR", "Name of the connection in tollbook.toml")
ACCOUNT = _c("account_id", "VARCHAR", "PBXware server (a key of tenant.list) or Sipcentric customer; NULL if none")
CURRENCY = _c("currency", "VARCHAR", "ISO 4217 code of the amounts in this row")
PROVENANCE = (
    _c("raw_file", "VARCHAR", "Landed file the row came from, relative to the data directory"),
    _c("raw_row", "BIGINT", "Number of the record within that file, from 1"),
    _c("fetched_at", INSTANT, "When the vendor was first seen to say exactly this"),
)
EXTENSION = _c("extension", "VARCHAR", "Our extension that made or took the call; NULL if none is known")
DIRECTION = _c("direction", "VARCHAR", "inbound, outbound, internal or unknown")
OUTCOME = _c("outcome", "VARCHAR", "answered, no_answer, busy, failed, cancelled, voicemail or unknown")
REMOTE = (
    _c(
        "remote_e164",
        "VARCHAR",
        "Outside party in E.164, without what was dialled before it; NULL for internal calls and unreadable numbers",
    ),
    _c(
        "remote_country",
        "VARCHAR",
        "ISO 3166 alpha-2 country of the outside party; NULL if unknown, worldwide or short",
    ),
)
REMOTE_TYPE = _c(
    "remote_type",
    "VARCHAR",
    "Kind of outside number: mobile, fixed, fixed_or_mobile, toll_free, premium (also directory enquiries), "
    "shared_cost, voip, personal, pager, uan, voicemail, emergency, short or unknown; NULL for internal calls",
)

CDR = Table(
    "core",
    "cdr",
    "One row per record the vendor reported: a call leg, not a call",
    (
        _c("cdr_id", "VARCHAR", "Unique and stable; a hash of what identifies the leg"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("native_id", "VARCHAR", "The vendor's own id (PBXware Unique ID, Sipcentric uri); not unique on PBXware"),
        _c(
            "linked_id",
            "VARCHAR",
            "What the legs of one call share: Sipcentric linkedId; PBXware Unique ID, on the legs that a group, queue "
            "or IVR made, or that a call was forwarded by, that of the call",
        ),
        _c("occurrence", "INTEGER", "Number, from 1, among rows identical in everything the vendor says"),
        _c("started_at", INSTANT, "When the leg started"),
        _c("call_date", "DATE", "Business day of started_at in the configured zone"),
        DIRECTION,
        OUTCOME,
        _c("from_text", "VARCHAR", "Caller as the vendor wrote it"),
        _c("from_name", "VARCHAR", "Name part of from_text"),
        _c("from_number", "VARCHAR", "Number part of from_text; NULL when withheld"),
        _c("from_e164", "VARCHAR", "Caller in E.164, when it is an outside number"),
        _c("to_text", "VARCHAR", "Called party as the vendor wrote it"),
        _c("to_name", "VARCHAR", "Name part of to_text"),
        _c("to_number", "VARCHAR", "Number part of to_text: as dialled, with codes and the digits for an outside line"),
        _c(
            "to_e164",
            "VARCHAR",
            "Called party in E.164, when it is an outside number: that behind what else was dialled",
        ),
        _c(
            "to_kind",
            "VARCHAR",
            "Who the called party is: person (a telephone of ours, or an outside party), machine (our queue, ring "
            "group, IVR, conference or mailbox, or a number of ours that leads to one), number (a number of ours that "
            "leads elsewhere: who answered is on the call's other legs), NULL if not known, as for a feature code",
        ),
        EXTENSION,
        *REMOTE,
        REMOTE_TYPE,
        _c("duration_seconds", "BIGINT", "Seconds, as the vendor reports the leg's length"),
        _c("rated_seconds", "BIGINT", "Seconds the vendor charged for; NULL if it does not say"),
        _c("cost", MONEY, "What the vendor charges; NULL = unrated, never 0 for unknown"),
        CURRENCY,
        _c("is_provisional", "BOOLEAN", "The vendor says that the record can still change"),
        _c("mos", "DECIMAL(6,3)", "Mean opinion score, 1 to 5; NULL = no measurement"),
        _c("has_recording", "BOOLEAN", "The vendor says that a recording exists"),
        *PROVENANCE,
    ),
    key=("cdr_id",),
    date_column="call_date",
    in_lake=True,
    derived=(
        "linked_id",
        "call_date",
        "direction",
        "from_name",
        "from_number",
        "from_e164",
        "to_name",
        "to_number",
        "to_e164",
        "to_kind",
        "extension",
        "remote_e164",
        "remote_country",
        "remote_type",
        "currency",
    ),
)

SMS = Table(
    "core",
    "sms",
    "One row per message; its text is never stored",
    (
        _c("sms_id", "VARCHAR", "Unique and stable; a hash of connection and uri"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("native_id", "VARCHAR", "The vendor's uri of the message"),
        _c("sent_at", INSTANT, "When the message was created"),
        _c("sms_date", "DATE", "Business day of sent_at"),
        _c("direction", "VARCHAR", "inbound, outbound or unknown"),
        _c("status", "VARCHAR", "pending, sent, failed or unknown; NULL for received messages"),
        _c("from_text", "VARCHAR", "Sender as the vendor wrote it"),
        _c("from_e164", "VARCHAR", "Sender in E.164"),
        _c("to_text", "VARCHAR", "Recipient as the vendor wrote it"),
        _c("to_e164", "VARCHAR", "Recipient in E.164"),
        *REMOTE,
        _c("delivery_status", "INTEGER", "1 delivered, 2 rejected, 4 buffered, 8 accepted, 16 rejected by the carrier"),
        _c("cost", MONEY, "What the vendor charges; NULL = unrated"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("sms_id",),
    date_column="sms_date",
    in_lake=True,
    derived=("sms_date", "from_e164", "to_e164", "remote_e164", "remote_country"),
)

EXTENSION_TOTAL = Table(
    "core",
    "extension_total",
    "One row per TIM4biz connection, day and extension: TIM4biz's own totals",
    (
        VENDOR,
        CONNECTION,
        _c("total_date", "DATE", "Business day of the totals"),
        _c("extension", "VARCHAR", "Extension as TIM4biz names it"),
        _c("name", "VARCHAR", "Name as TIM4biz gives it"),
        _c("calls", "BIGINT", "Calls; NULL if the reply has no such field"),
        _c("incoming", "BIGINT", "Incoming calls; NULL if the reply has no such field"),
        _c("outgoing", "BIGINT", "Outgoing calls; NULL if the reply has no such field"),
        _c("duration_seconds", "BIGINT", "Seconds; NULL if the reply has no such field, or no unit that can be told"),
        _c("duration_figure", MONEY, "Duration as given where nothing says its unit (750 for 12:30); else NULL"),
        _c("cost", MONEY, "Cost as TIM4biz rated it; NULL if the reply has no such field"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "total_date", "extension"),
    date_column="total_date",
    in_lake=True,
)

INVOICE = Table(
    "core",
    "invoice",
    "One row per hosting invoice, as last seen",
    (
        VENDOR,
        CONNECTION,
        _c("invoice_id", "VARCHAR", "The vendor's id; number and date can change when it is paid"),
        _c("number", "VARCHAR", "Number printed on the invoice"),
        _c("status", "VARCHAR", "The vendor's status, in lower case"),
        _c("issued_on", "DATE", "Date of issue (the original one, where a payment moved it)"),
        _c("due_on", "DATE", "Date due"),
        _c("paid_at", INSTANT, "When it was paid; NULL while unpaid"),
        _c("subtotal", MONEY, "Before tax; negative for a credit note"),
        _c("tax", MONEY, "All taxes (tax + tax2); negative for a credit note"),
        _c("tax_rate", "DECIMAL(9,4)", "Percent of the first tax"),
        _c("credit", MONEY, "Account credit applied to it: a payment, not a smaller expense"),
        _c(
            "credit_added",
            MONEY,
            "What of it fills the account's credit once it is paid: an asset, no expense; negative where a credit "
            "note takes it back",
        ),
        _c("total", MONEY, "What was left to pay after applied credit"),
        CURRENCY,
        _c("merged_into", "VARCHAR", "invoice_id of the invoice that this one was merged into; NULL if it was not"),
        _c(
            "counts_as_expense",
            "BOOLEAN",
            "Whether subtotal + tax - credit_added is an expense: not for drafts and receipts, nor for cancelled or "
            "refunded invoices that no credit note takes back, nor for an original whose merged invoice is here",
        ),
        *PROVENANCE,
    ),
    key=("connection", "invoice_id"),
    in_lake=True,
)

INVOICE_LINE = Table(
    "core",
    "invoice_line",
    "One row per line of an invoice",
    (
        VENDOR,
        CONNECTION,
        _c("invoice_id", "VARCHAR", "The invoice"),
        _c("line_id", "VARCHAR", "The vendor's id of the line"),
        _c("type", "VARCHAR", "The vendor's item type, as written: Hosting, Addon, Other, Upgrade, Credit, LateFee, …"),
        _c("item_id", "VARCHAR", "The service it is for; 0 = none, -2 = a payment fee"),
        _c("description", "VARCHAR", "Text of the line"),
        _c("quantity", MONEY, "Quantity"),
        _c("unit_amount", MONEY, "Price of one"),
        _c("taxed", "BOOLEAN", "Whether tax was added to it"),
        _c("line_total", MONEY, "quantity × unit_amount as the vendor states it; negative on a credit note"),
        _c("credit_added", MONEY, "What of line_total fills the account's credit, and is no expense"),
        _c(
            "period_from", "DATE", "First day that it pays for: as its text says, else by its service's cycle back then"
        ),
        _c("period_until", "DATE", "The day after the last that it pays for; NULL where that is not known"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "invoice_id", "line_id"),
    in_lake=True,
)

BUNDLE = Table(
    "core",
    "bundle",
    "One row per call bundle and period of validity",
    (
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("bundle_id", "VARCHAR", "The vendor's id of the bundle"),
        _c("name", "VARCHAR", "Name of the bundle"),
        _c("valid_from", INSTANT, "Start of the period"),
        _c("valid_to", INSTANT, "End of the period"),
        _c("valid_from_date", "DATE", "Business day of valid_from: the day its price is charged to"),
        _c("inclusive_minutes", "BIGINT", "Minutes included"),
        _c("used_minutes", "BIGINT", "Minutes used"),
        _c("available_minutes", "BIGINT", "Minutes left"),
        _c("price_monthly", MONEY, "Price of the period"),
        _c("auto_renew", "BOOLEAN", "Whether it renews by itself"),
        _c("status", "VARCHAR", "active, expired or unknown"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "account_id", "bundle_id", "valid_from"),
    in_lake=True,
)

BALANCE = Table(
    "core",
    "balance",
    "One row per connection and account: the balance as last seen",
    (
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("account_type", "VARCHAR", "prepaid, postpaid or hosting"),
        _c("balance", MONEY, "Sipcentric: credit left. Time4VPS: total of the unpaid invoices"),
        _c("credit", MONEY, "Time4VPS: account credit; NULL elsewhere"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "account_id"),
    in_lake=True,
)

SERVICE = Table(
    "core",
    "service",
    "One row per hosting service, as last seen",
    (
        VENDOR,
        CONNECTION,
        _c("service_id", "VARCHAR", "The vendor's id; invoice lines name it in item_id"),
        _c("name", "VARCHAR", "Product"),
        _c("domain", "VARCHAR", "Host name"),
        _c("category", "VARCHAR", "Product category"),
        _c("status", "VARCHAR", "The vendor's status, in lower case"),
        _c("billing_cycle", "VARCHAR", "Monthly, Quarterly, …"),
        _c("next_due_on", "DATE", "Next due date"),
        _c("recurring_amount", MONEY, "Price per billing cycle"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "service_id"),
    in_lake=True,
)

ACCOUNT_TABLE = Table(
    "core",
    "account",
    "One row per account: PBXware tenant, Sipcentric customer, or the one account of the other vendors",
    (
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("name", "VARCHAR", "Name of the tenant or company"),
        _c("code", "VARCHAR", "PBXware tenant code, which can stand before its extensions' numbers"),
        _c("country", "VARCHAR", "ISO 3166 country that national numbers are read in"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "account_id"),
    in_lake=True,
)

EXTENSION_TABLE = Table(
    "core",
    "extension",
    "One row per extension or endpoint, as last seen",
    (
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("extension_id", "VARCHAR", "The vendor's id"),
        _c("extension", "VARCHAR", "Its number"),
        _c("name", "VARCHAR", "Its name"),
        _c("type", "VARCHAR", "phone, virtual, group, queue, ivr, mailbox, did or trunk"),
        _c("status", "VARCHAR", "enabled, disabled or NULL"),
        _c("department_id", "VARCHAR", "First department it belongs to; NULL if none"),
        _c("department", "VARCHAR", "Name of that department"),
        *PROVENANCE,
    ),
    key=("connection", "account_id", "type", "extension_id"),
    in_lake=True,
)

DEPARTMENT = Table(
    "core",
    "department",
    "One row per PBX department",
    (
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("department_id", "VARCHAR", "The vendor's id"),
        _c("name", "VARCHAR", "Its name"),
        *PROVENANCE,
    ),
    key=("connection", "account_id", "department_id"),
    in_lake=True,
)

SERVICE_PLAN_RATE = Table(
    "core",
    "service_plan_rate",
    "One row per rate of a PBXware service plan",
    (
        VENDOR,
        CONNECTION,
        _c("rate_id", "VARCHAR", "splan:route:dgroup, with the time band after a further colon where there is one"),
        _c("plan_id", "VARCHAR", "Service plan"),
        _c("plan_name", "VARCHAR", "Name of the plan"),
        _c("inbound_price", MONEY, "Price of an inbound minute"),
        _c("outbound_price", MONEY, "Price of an outbound minute"),
        _c("min_charge", MONEY, "Minimum charge"),
        _c("connection_charge", MONEY, "Connection charge"),
        _c("rating", "VARCHAR", "Rating steps in seconds: first/next"),
        CURRENCY,
        *PROVENANCE,
    ),
    key=("connection", "rate_id"),
    in_lake=True,
)

CALL = Table(
    "core",
    "call",
    "One row per end-to-end call, put together from its legs",
    (
        _c("call_id", "VARCHAR", "Unique and stable; the cdr_id of its first leg"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("linked_id", "VARCHAR", "What its legs share"),
        _c("started_at", INSTANT, "Start of the first leg"),
        _c("call_date", "DATE", "Business day of started_at"),
        _c("direction", "VARCHAR", "The outside direction where any leg has one, else internal or unknown"),
        _c(
            "outcome",
            "VARCHAR",
            "answered where a person answered any leg, else abandoned where a machine did (see core.cdr.to_kind; also "
            "where the caller then left a message), else voicemail where a message was left, else abandoned where only "
            "a number of ours answered and none of its telephones, else the most telling outcome of its legs: busy, "
            "no_answer, cancelled, failed or unknown",
        ),
        EXTENSION,
        *REMOTE,
        REMOTE_TYPE,
        _c("legs", "INTEGER", "Number of legs"),
        _c("outbound_legs", "INTEGER", "Legs to an outside party; of an inbound call those that it was forwarded by"),
        _c("attempts", "INTEGER", "Legs that were not answered"),
        _c(
            "linking",
            "VARCHAR",
            "How it was put together: single (one leg), native_id (one PBXware Unique ID), put_through (legs that a "
            "group, queue or IVR made, or that forwarded it, have ids of their own) or linked_id (Sipcentric)",
        ),
        _c("talk_seconds", "BIGINT", "Seconds of the longest leg that a person answered; 0 if there is none"),
        _c("outbound_seconds", "BIGINT", "Seconds of the longest answered leg to an outside party; 0 if there is none"),
        _c(
            "is_long",
            "BOOLEAN",
            "Whether a leg lasted long_call_hours (tollbook.toml) or more: a hung call, most likely",
        ),
        _c("cost", MONEY, "Sum over all legs; NULL when every leg is unrated"),
        _c("unrated_legs", "INTEGER", "Legs without a cost"),
        CURRENCY,
    ),
    key=("call_id",),
    date_column="call_date",
)

CALL_LEG = Table(
    "core",
    "call_leg",
    "One row per leg: which call it belongs to",
    (
        _c("cdr_id", "VARCHAR", "The leg, in core.cdr"),
        _c("call_id", "VARCHAR", "The call, in core.call"),
        _c("call_date", "DATE", "Business day of the call (a leg after midnight belongs to the call's day)"),
        _c("leg_number", "INTEGER", "From 1, by start"),
        _c("leg_date", "DATE", "Business day of the leg itself"),
    ),
    key=("cdr_id",),
    date_column="call_date",
)

_DIMENSIONS = (VENDOR, CONNECTION, ACCOUNT)
_COST_MEASURES = (
    _c("quantity", MONEY, "Calls (each counted once, as core.call has it), messages, bundles, or the lines' quantity"),
    _c("cost", MONEY, "Sum of the vendor's cost in currency; NULL when everything in the row is unrated"),
    _c("unrated", "BIGINT", "Records in the row without a cost"),
    _c("reporting_cost", MONEY, "cost in the reporting currency; NULL when there is no rate for the day"),
    _c("unconverted", "BIGINT", "Rated records in the row whose cost could not be converted"),
)
_COST_CENTRE = _c("cost_centre", "VARCHAR", "From cost_centres.csv, else the PBX department, else unassigned")
_CHARGE_KIND = _c("charge_kind", "VARCHAR", "call, sms, bundle, hosting, tax, credit or fee")
_COST_DIMENSIONS = (
    _COST_CENTRE,
    _CHARGE_KIND,
    _c("direction", "VARCHAR", "Direction of calls and messages; NULL for other charges"),
    _c("destination_country", "VARCHAR", "Country called or written to; NULL unless outbound"),
    CURRENCY,
)

_MONTH = _c("month", "DATE", "First day of the month")
_MONTHLY_COST = (
    _MONTH,
    *_DIMENSIONS,
    *_COST_DIMENSIONS,
    *_COST_MEASURES,
)
_MONTHLY_KEY = (
    "month",
    "connection",
    "account_id",
    "cost_centre",
    "charge_kind",
    "direction",
    "destination_country",
    "currency",
)
_CLOSED_AT = _c("closed_at", INSTANT, "When the month was closed")
_CLOSED_BY_LOAD = _c("closed_by_load", "VARCHAR", "The newest load whose records are in the closed figures")

FRAUD_SIGNAL = Table(
    "mart",
    "fraud_signal",
    "One row per day, account, extension, rule, country and currency that went over a limit: to look at, not a verdict",
    (
        _c("signal_date", "DATE", "Business day"),
        *_DIMENSIONS,
        _c("extension", "VARCHAR", "Who called; new_country: who did first; NULL for spend_spike, or if not known"),
        _c(
            "rule",
            "VARCHAR",
            "out_of_hours (calls abroad while the office is closed), premium (premium-rate numbers), foreign_nanp "
            "(numbers that begin with +1 and are not of the United States or Canada), new_country (one that the "
            "account never called before), spend_spike (against the same weekday's median)",
        ),
        _c("country", "VARCHAR", "Country called; NULL for the rules that are not about one"),
        _c("currency", "VARCHAR", "ISO 4217 code of cost; NULL where the calls differ in currency"),
        _c("severity", "VARCHAR", "low, medium or high: high from three times the limit; new_country is low"),
        _c("calls", "BIGINT", "Calls to outside parties that count, forwarded ones and attempts too"),
        _c("cost", MONEY, "Their cost; NULL when none is rated"),
        _c("measured", MONEY, "What was compared: calls, or for spend_spike the day's cost"),
        _c("threshold", MONEY, "The limit that it reached, in the same unit"),
    ),
    key=("signal_date", "connection", "account_id", "extension", "rule", "country", "currency"),
    date_column="signal_date",
)

MARTS = (
    Table(
        "mart",
        "usage_daily",
        "One row per day, account, extension and direction: calls, not legs",
        (
            _c("call_date", "DATE", "Business day"),
            *_DIMENSIONS,
            EXTENSION,
            DIRECTION,
            _c("calls", "BIGINT", "Calls"),
            _c("answered", "BIGINT", "Calls that a person answered"),
            _c("no_answer", "BIGINT", "Calls nobody took"),
            _c("busy", "BIGINT", "Busy"),
            _c("failed", "BIGINT", "Failed"),
            _c("abandoned", "BIGINT", "Calls that only a machine answered: a queue, ring group, IVR or the like"),
            _c("other", "BIGINT", "Cancelled, voicemail and unknown"),
            _c("legs", "BIGINT", "Legs of those calls"),
            _c("talk_seconds", "BIGINT", "Seconds talked"),
        ),
        key=("call_date", "connection", "account_id", "extension", "direction"),
        date_column="call_date",
    ),
    Table(
        "mart",
        "usage_hourly",
        "One row per UTC hour, account and direction",
        (
            _c("hour", INSTANT, "Start of the hour"),
            *_DIMENSIONS,
            DIRECTION,
            _c("calls", "BIGINT", "Calls started in the hour"),
            _c("answered", "BIGINT", "Answered calls started in the hour"),
            _c(
                "erlangs",
                MONEY,
                "Traffic carried: seconds talked within the hour / 3600; an inbound call that was forwarded to an "
                "outside party also takes an outbound line",
            ),
            _c("peak_concurrent", "BIGINT", "Most lines talked on at one moment of the hour"),
        ),
        key=("hour", "connection", "account_id", "direction"),
        date_column="hour",
    ),
    Table(
        "mart",
        "cost_daily",
        "One row per day, account, extension, cost centre, kind of charge, item, direction, destination and currency",
        (
            _c("cost_date", "DATE", "Business day; invoices: date of issue; bundles: first day of validity"),
            *_DIMENSIONS,
            EXTENSION,
            *_COST_DIMENSIONS,
            _c("item", "VARCHAR", "service_id of a hosting charge, bundle_id of a bundle; NULL where there is none"),
            *_COST_MEASURES,
        ),
        key=(
            "cost_date",
            "connection",
            "account_id",
            "extension",
            "cost_centre",
            "charge_kind",
            "item",
            "direction",
            "destination_country",
            "currency",
        ),
        date_column="cost_date",
    ),
    Table(
        "mart",
        "cost_monthly",
        "mart.cost_daily by month, without extension and item",
        _MONTHLY_COST,
        key=_MONTHLY_KEY,
        date_column="month",
    ),
    Table(
        "mart",
        "cost_centre_usage",
        "One row per month, account and cost centre: what shared costs are allocated by",
        (
            _MONTH,
            *_DIMENSIONS,
            _COST_CENTRE,
            _c("calls", "BIGINT", "Calls of its extensions"),
            _c("talk_seconds", "BIGINT", "Seconds talked"),
            _c("extensions", "BIGINT", "Extensions with a call in the month; one that moved counts in both centres"),
        ),
        key=("month", "connection", "account_id", "cost_centre"),
        date_column="month",
    ),
    Table(
        "mart",
        "chargeback",
        "One row per month, account, kind of charge, currency, rule, cost centre that incurred and cost centre charged",
        (
            _MONTH,
            *_DIMENSIONS,
            _CHARGE_KIND,
            CURRENCY,
            _c("source_cost_centre", "VARCHAR", "Cost centre that the charges stand on in mart.cost_monthly"),
            _c(
                "cost_centre",
                "VARCHAR",
                "Cost centre that is charged: source_cost_centre for a direct cost; unallocated where the rule found "
                "nothing to divide by",
            ),
            _c("method", "VARCHAR", "direct, or what it was divided by: calls, minutes, extensions or shares"),
            _c("rule", "VARCHAR", "Name of the rule in allocation.csv; NULL for a direct cost"),
            _c(
                "calls_of",
                "VARCHAR",
                "Connection whose calls, minutes or extensions count; NULL = all, or no such method",
            ),
            _c(
                "driver",
                MONEY,
                "This cost centre's calls, seconds talked, extensions or weight; NULL for a direct cost",
            ),
            _c("driver_total", MONEY, "The same over all cost centres; 0 where the cost stays unallocated"),
            _c("share", "DECIMAL(9,6)", "driver / driver_total, rounded to six places to be read; NULL where 0 / 0"),
            _c(
                "pool_cost", MONEY, "What was divided, in currency: cost adds up to it over the cost centres of the row"
            ),
            _c(
                "unit",
                MONEY,
                "Smallest unit it was divided in: cost is within one unit of pool_cost × driver / driver_total",
            ),
            _c("cost", MONEY, "What the cost centre is charged, in currency"),
            _c("reporting_cost", MONEY, "The same in the reporting currency; NULL when part of pool_cost has no rate"),
        ),
        key=(
            "month",
            "connection",
            "account_id",
            "charge_kind",
            "currency",
            "source_cost_centre",
            "rule",
            "cost_centre",
        ),
        date_column="month",
    ),
    Table(
        "mart",
        "budget",
        "One row per month, cost centre, vendor, kind of charge and currency of budgets.csv",
        (
            _MONTH,
            _c("cost_centre", "VARCHAR", "Cost centre, compared with cost_centre in mart.chargeback"),
            _c("vendor", "VARCHAR", "Vendor it is for; NULL = not by vendor"),
            _c("charge_kind", "VARCHAR", "Kind of charge it is for; NULL = not by kind"),
            CURRENCY,
            _c("budget", MONEY, "Amount in currency"),
            _c("reporting_budget", MONEY, "Amount at the rate of the month's first day; NULL when there is none"),
        ),
        key=("month", "cost_centre", "vendor", "charge_kind", "currency"),
        date_column="month",
    ),
    Table(
        "mart",
        "journal",
        "One row per line of a month's journal; an entry is a connection's month in one currency, debit = credit",
        (
            _MONTH,
            _c("entry", "VARCHAR", "The entry: month, connection and currency"),
            _c("line", "INTEGER", "Number within the entry, from 1"),
            _c("posting_date", "DATE", "Last day of the month"),
            VENDOR,
            CONNECTION,
            _c(
                "role",
                "VARCHAR",
                "cost, tax, creditor (what is owed) or credit_balance (credit with the vendor that an invoice used up)",
            ),
            _c("account", "VARCHAR", "Ledger account, from accounts.csv, else a name that says what it is"),
            _c("cost_centre", "VARCHAR", "Cost centre charged, as in mart.chargeback; NULL where the account has none"),
            _c("charge_kind", "VARCHAR", "Kind of charge; NULL for what is owed or paid on an invoice as a whole"),
            _c("document", "VARCHAR", "Number of the invoice; NULL for what is not on one"),
            _c("description", "VARCHAR", "What the line is, to be read in the ledger"),
            CURRENCY,
            _c("debit", MONEY, "Debit, in whole minor units of currency (cents); 0 on a credit line"),
            _c("credit", MONEY, "Credit, in the same; 0 on a debit line"),
            _c("exact", MONEY, "Debit − credit before it was rounded to the minor unit"),
        ),
        key=("entry", "line"),
        date_column="month",
    ),
    Table(
        "mart",
        "cost_monthly_as_closed",
        "One row per row of mart.cost_monthly as it stood when the month was closed; the latest close of each month",
        (*_MONTHLY_COST, _CLOSED_AT, _CLOSED_BY_LOAD),
        key=_MONTHLY_KEY,
        date_column="month",
    ),
    Table(
        "mart",
        "month_movement",
        "One row per closed month, account, cost centre, kind of charge and currency: cost as closed beside cost now",
        (
            _c("month", "DATE", "First day of the closed month"),
            *_DIMENSIONS,
            *(column for column in _COST_DIMENSIONS if column.name in ("cost_centre", "charge_kind", "currency")),
            _c("as_closed", MONEY, "Cost in mart.cost_monthly_as_closed; 0 where nothing was rated then"),
            _c("now", MONEY, "Cost in mart.cost_monthly; 0 where nothing is rated"),
            _c("moved", MONEY, "now − as_closed"),
            _CLOSED_AT,
        ),
        key=("month", "connection", "account_id", "cost_centre", "charge_kind", "currency"),
        date_column="month",
    ),
    Table(
        "mart",
        "invoice_aging",
        "One row per open invoice, aged on the day of the last load",
        (
            VENDOR,
            CONNECTION,
            _c("invoice_id", "VARCHAR", "The invoice"),
            _c("number", "VARCHAR", "Its number"),
            _c("status", "VARCHAR", "Its status"),
            _c("issued_on", "DATE", "Date of issue"),
            _c("due_on", "DATE", "Date due"),
            _c("as_of", "DATE", "Day the age is reckoned on"),
            _c("days_overdue", "INTEGER", "Days since due_on; 0 or less = not yet due"),
            _c("bucket", "VARCHAR", "not due, 1-30, 31-60, 61-90 or over 90"),
            _c("open_amount", MONEY, "Left to pay"),
            CURRENCY,
        ),
        key=("connection", "invoice_id"),
    ),
    Table(
        "mart",
        "extension_reconciliation",
        "One row per TIM4biz connection, day and extension: TIM4biz against the PBX's own calls",
        (
            _c("call_date", "DATE", "Business day"),
            _c("connection", "VARCHAR", "The TIM4biz connection"),
            _c(
                "pbx_connection",
                "VARCHAR",
                "The PBX connection compared with; NULL when only TIM4biz has the extension",
            ),
            _c("extension", "VARCHAR", "Extension"),
            _c("our_calls", "BIGINT", "Calls on the PBX; NULL = none recorded"),
            _c("their_calls", "BIGINT", "Calls in TIM4biz"),
            _c("calls_difference", "BIGINT", "ours − theirs"),
            _c("our_seconds", "BIGINT", "Seconds on the PBX"),
            _c("their_seconds", "BIGINT", "Seconds in TIM4biz"),
            _c("seconds_difference", "BIGINT", "ours − theirs"),
            _c("our_cost", MONEY, "Cost on the PBX"),
            _c("their_cost", MONEY, "Cost in TIM4biz"),
            _c("cost_difference", MONEY, "ours − theirs; NULL where the currencies differ"),
            CURRENCY,
            _c(
                "class",
                "VARCHAR",
                "exact, within_tolerance, mismatch, only_theirs, only_ours, or not_compared: TIM4biz says no calls or "
                "no seconds, and nothing else differs",
            ),
        ),
        key=("call_date", "connection", "pbx_connection", "extension"),
        date_column="call_date",
    ),
    Table(
        "mart",
        "busy_hour",
        "One row per month, connection or account, and definition of the busy hour: traffic and the lines it takes",
        (
            _c("month", "DATE", "First day of the month"),
            VENDOR,
            CONNECTION,
            _c("scope", "VARCHAR", "connection: all its accounts together, as they share its lines; or account"),
            _c("account_id", "VARCHAR", "The account; NULL where scope is connection"),
            _c(
                "definition",
                "VARCHAR",
                "TCBH: time-consistent busy hour, the hour of the clock with the most traffic averaged over the days; "
                "ADPFH: average daily peak full hour, the mean of each day's own busiest hour (ITU-T E.500)",
            ),
            _c(
                "starts_at",
                "VARCHAR",
                "Local time at which the hour begins, HH:MM; NULL for ADPFH: every day its own",
            ),
            _c("days", "BIGINT", "Days averaged over: Mondays to Fridays on which outside calls were talked"),
            _c("erlangs", MONEY, "Mean traffic of that hour: inbound and outbound calls, talk time, without ringing"),
            _c("lines_1_percent", "INTEGER", "Lines so that at most 1 % of the calls find none free (Erlang B)"),
            _c("lines_2_percent", "INTEGER", "The same for 2 %"),
            _c("lines_5_percent", "INTEGER", "The same for 5 %"),
        ),
        key=("month", "connection", "scope", "account_id", "definition"),
        date_column="month",
    ),
    Table(
        "mart",
        "unanswered",
        "One row per day, local hour, account and extension that inbound calls were offered to",
        (
            _c("call_date", "DATE", "Business day"),
            _c("hour_of_day", "INTEGER", "Local hour in which the calls began, 0 to 23"),
            *_DIMENSIONS,
            _c(
                "extension",
                "VARCHAR",
                "Who took the call; if nobody did, who was rung first; NULL if not known",
            ),
            _c("offered", "BIGINT", "Inbound calls"),
            _c("answered", "BIGINT", "Of those, taken by a person"),
            _c("unanswered", "BIGINT", "Of those, taken by nobody; a caller who left a message is here too"),
            _c(
                "voicemail",
                "BIGINT",
                "Of the unanswered, those who left a message and whom no machine had answered (core.call.outcome)",
            ),
            _c("abandoned", "BIGINT", "Of the unanswered, those that only a queue, ring group, IVR or the like took"),
            _c(
                "called_back",
                "BIGINT",
                "Of the unanswered, those whose number the account then called and reached, by the end of the next "
                "business day; never for a withheld or erased number",
            ),
            _c("unanswered_percent", "DECIMAL(5,2)", "100 × unanswered / offered; add up the counts, never this"),
        ),
        key=("call_date", "hour_of_day", "connection", "account_id", "extension"),
        date_column="call_date",
    ),
    Table(
        "mart",
        "destination_monthly",
        "One row per month, account, country called, type of number and currency: calls to an outside party",
        (
            _c("month", "DATE", "First day of the month"),
            *_DIMENSIONS,
            _c(
                "destination_country",
                "VARCHAR",
                "Country called (ISO 3166); NULL if unknown, worldwide or a short number",
            ),
            _c("destination_type", "VARCHAR", "Kind of number, as in core.call.remote_type"),
            CURRENCY,
            _c(
                "calls",
                "BIGINT",
                "Calls with a leg there, also inbound ones that were forwarded there; the attempts of one call are one",
            ),
            _c("answered", "BIGINT", "Of those, answered there"),
            _c("talk_seconds", "BIGINT", "Seconds of each call's longest answered leg there"),
            _c("minutes", MONEY, "talk_seconds / 60"),
            _c("cost", MONEY, "Cost of those legs, unanswered attempts included; NULL when nothing is rated"),
            _c("unrated", "BIGINT", "Calls with a leg there that is not rated"),
            _c("average_cost", MONEY, "Mean cost of the answered calls that are wholly rated; NULL: there are none"),
            _c("first_date", "DATE", "Business day of the first of these calls"),
        ),
        key=("month", "connection", "account_id", "destination_country", "destination_type", "currency"),
        date_column="month",
    ),
    Table(
        "mart",
        "top_calls",
        "One row per month, ranking, currency and place: the 50 dearest calls and the 50 longest",
        (
            _c("month", "DATE", "First day of the month"),
            _c("ranking", "VARCHAR", "cost or duration"),
            _c("currency", "VARCHAR", "ISO 4217 code of cost; NULL for calls whose legs differ in currency"),
            _c("place", "BIGINT", "1 to 50; of equal calls the earlier one first"),
            *_DIMENSIONS,
            _c("call_id", "VARCHAR", "The call, in core.call, where its number is"),
            _c("call_date", "DATE", "Business day"),
            _c("started_at", INSTANT, "When it started"),
            _c("extension", "VARCHAR", "Our extension of the leg that cost most or lasted longest; NULL if not known"),
            _c("direction", "VARCHAR", "That leg's: inbound, outbound, internal or unknown"),
            _c("remote_country", "VARCHAR", "Country of that leg's outside party"),
            _c("remote_type", "VARCHAR", "Kind of that leg's outside number, as in core.cdr.remote_type"),
            _c("talk_seconds", "BIGINT", "Seconds talked"),
            _c("cost", MONEY, "Cost in currency; NULL = not rated"),
        ),
        key=("month", "ranking", "currency", "place"),
        date_column="month",
    ),
    FRAUD_SIGNAL,
)

CONTROL_TOTAL = Table(
    "audit",
    "control_total",
    "One row per window, account and check: our figure beside the vendor's own",
    (
        _c(
            "window_date",
            "DATE",
            "Business day that was checked; invoices: date of issue; other lists: the day they were read; several days "
            "at once (stretch_…): the first of them",
        ),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("check_name", "VARCHAR", "Name of the check"),
        _c("compares", "VARCHAR", "What the check compares, in words"),
        _c(
            "subject",
            "VARCHAR",
            "What exactly: an invoice, a bundle, a list, a stretch of days (first..last); else empty",
        ),
        _c("ours", TOTAL, "Our figure; what of it was let pass is said in compares"),
        _c("theirs", TOTAL, "The vendor's figure; NULL when unavailable"),
        _c("difference", TOTAL, "ours − theirs"),
        _c("currency", "VARCHAR", "ISO 4217 code of the figures; NULL where they are numbers, seconds or minutes"),
        _c("status", "VARCHAR", "matched, variance or unavailable"),
        _c("stream", "VARCHAR", "Stream of the lake it belongs to"),
        _c("fetched_at", INSTANT, "When the vendor's figure was read"),
    ),
    key=("window_date", "connection", "account_id", "check_name", "subject"),
    date_column="window_date",
    in_lake=True,
)

QUARANTINE = Table(
    "audit",
    "quarantine",
    "One row per record that could not be understood; it stays in raw",
    (
        _c("window_date", "DATE", "Business day of the window"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("stream", "VARCHAR", "Stream of the lake"),
        _c("reason", "VARCHAR", "Why, without the record's contents"),
        _c("raw_file", "VARCHAR", "Landed file, relative to the data directory"),
        _c("page", "INTEGER", "Answer within the file, from 1"),
        _c("raw_row", "BIGINT", "Number of the record within the file, from 1"),
        _c("fetched_at", INSTANT, "When it was read"),
    ),
    key=("raw_file", "raw_row", "reason"),
    date_column="window_date",
    in_lake=True,
)

RESTATEMENT = Table(
    "audit",
    "restatement",
    "One row per record that a later reading changed, added or no longer had; of one whose currency changed, two",
    (
        _c("window_date", "DATE", "Business day of the record; lists: the day of the earlier reading"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        _c("stream", "VARCHAR", "Stream of the lake"),
        _c("record_id", "VARCHAR", "cdr_id, sms_id, invoice_id, …"),
        _c("kind", "VARCHAR", "changed, new or vanished"),
        _c("first_seen_at", INSTANT, "When the earlier state was first seen; NULL for a new record"),
        _c("restated_at", INSTANT, "When the reading, or the rebuild with other settings, that restates it was made"),
        _c("columns_changed", "VARCHAR", "Names of the columns that differ, comma-separated; NULL unless changed"),
        _c("before_cost", MONEY, "Cost before; NULL = unrated or not there"),
        _c("after_cost", MONEY, "Cost after; NULL = unrated or not there"),
        _c("cost_effect", MONEY, "What it does to the sum of cost"),
        CURRENCY,
        _c("before", "VARCHAR", "The changed columns before, as JSON; NULL for a new record"),
        _c("after", "VARCHAR", "The changed columns after, as JSON; NULL for a vanished record"),
    ),
    key=("stream", "connection", "record_id", "kind", "restated_at", "currency"),
    date_column="window_date",
    in_lake=True,
)

LOAD = Table(
    "audit",
    "load",
    "One row per load, connection, stream and window",
    (
        _c("load_id", "VARCHAR", "The load; when it was begun by the clock, and by which run"),
        _c(
            "sequence",
            "BIGINT",
            "Number of the load: of two the later one has the higher, whatever the clock said; 0 for loads that were "
            "recorded before there were numbers, which are in the order of load_id",
        ),
        _c("started_at", INSTANT, "When the load of the window began"),
        _c("finished_at", INSTANT, "When it ended"),
        VENDOR,
        CONNECTION,
        _c("stream", "VARCHAR", "Stream of the lake"),
        _c("window_from", "DATE", "First business day asked for"),
        _c("window_to", "DATE", "Last business day asked for"),
        _c("status", "VARCHAR", "loaded, unchanged or failed"),
        _c("rows", "BIGINT", "Records read"),
        _c("pages", "BIGINT", "Answers landed"),
        _c("requests", "BIGINT", "Requests made, retries included"),
        _c("bytes", "BIGINT", "Bytes of the landed responses"),
        _c("out_of_window", "BIGINT", "Records the vendor sent that belong to another day; not counted in rows"),
        _c("quarantined", "BIGINT", "Records that could not be understood"),
        _c("error_type", "VARCHAR", "Kind of error; NULL when it did not fail"),
        _c("error", "VARCHAR", "What went wrong, without secrets, numbers or names"),
        _c("warnings", "VARCHAR", "What was odd, one sentence a line; NULL when nothing was"),
    ),
    key=("load_id", "connection", "stream", "window_from"),
)

TIE_OUT = Table(
    "audit",
    "tie_out",
    "One row per mart, measure, day and currency: the mart against the fact it was summed from",
    (
        _c("mart", "VARCHAR", "The mart"),
        _c("tie_date", "DATE", "Business day (month for a monthly mart); NULL for one without days"),
        _c("measure", "VARCHAR", "calls, legs, seconds, cost, …"),
        _c("currency", "VARCHAR", "Currency of a cost; empty for other measures"),
        _c("fact", MONEY, "From the fact"),
        _c("in_mart", MONEY, "From the mart"),
        _c("difference", MONEY, "in_mart − fact; must be 0"),
    ),
    key=("mart", "tie_date", "measure", "currency"),
    date_column="tie_date",
)

COVERAGE = Table(
    "audit",
    "coverage",
    "One row per connection, stream and business day, from the stream's first loaded day to the newest of any stream",
    (
        _c("coverage_date", "DATE", "Business day"),
        VENDOR,
        CONNECTION,
        _c("stream", "VARCHAR", "Stream of the lake that is read by the day; lists are not"),
        _c(
            "state",
            "VARCHAR",
            "loaded; partial: last read before the day had ended; stale: its latest reading failed after an earlier "
            "good one; missing: never loaded, or every reading failed",
        ),
        _c("rows", "BIGINT", "Records of the day in core; NULL when missing"),
        _c(
            "typical_rows",
            "BIGINT",
            "Median (of two middle ones the lower) of rows on the same weekday of the 8 weeks before, of the days "
            "that are loaded; NULL with fewer than 3 of them",
        ),
        _c(
            "is_unusual",
            "BOOLEAN",
            "Whether rows is below half of typical_rows or above twice, and their square roots are more than 4 apart, "
            "which is beyond chance; NULL where the day is missing or partial, or typical_rows is NULL",
        ),
        _c("last_read_at", INSTANT, "When the last good reading of the day began; NULL when missing"),
        _c("load_id", "VARCHAR", "The latest load that asked for the day, also one that failed; NULL when none did"),
    ),
    key=("coverage_date", "connection", "stream"),
    date_column="coverage_date",
)

MONTH_CLOSE = Table(
    "audit",
    "month_close",
    "One row per close of a month: a month that was reopened has several, and the latest counts",
    (
        _c("month", "DATE", "First day of the month"),
        _c("version", "INTEGER", "1 for the first close, one more each time the month was reopened and closed again"),
        _CLOSED_AT,
        _CLOSED_BY_LOAD,
        _c("is_current", "BOOLEAN", "Whether it is the latest close, whose figures the marts show"),
        _c("rows", "BIGINT", "Rows of mart.cost_monthly that were frozen"),
        _c("despite", "VARCHAR", "What was incomplete or unproven when it was closed all the same; NULL: nothing"),
        _c("file", "VARCHAR", "The frozen figures, relative to the data directory; NULL when there were none"),
        _c("sha256", "VARCHAR", "SHA-256 of the file"),
    ),
    key=("month", "version"),
    date_column="month",
)

RESTATEMENT_SINCE_CLOSE = Table(
    "audit",
    "restatement_since_close",
    "One row per restatement of a closed month made after its latest close, and per month that it concerns",
    (
        _c("month", "DATE", "First day of the closed month"),
        _CLOSED_AT,
        *(
            column
            for column in RESTATEMENT.columns
            if column.name not in ("first_seen_at", "cost_effect", "before", "after")
        ),
        _c(
            "cost_effect",
            MONEY,
            "What it does to the month's cost in mart.cost_monthly; 0 for TIM4biz totals, which are no charge; an "
            "invoice that was moved to another month leaves one and enters the other",
        ),
    ),
    key=("month", "stream", "connection", "record_id", "kind", "restated_at", "currency"),
    date_column="month",
)

ERASURE = Table(
    "audit",
    "erasure",
    "One row per erased telephone number, time it was erased and table that held it",
    (
        _c("erasure_id", "VARCHAR", "The number in the register of erased ones; does not tell which it was"),
        _c("erased_at", INSTANT, "When it was erased"),
        _c("table_name", "VARCHAR", "Table that held it, by full name; raw: the landed responses"),
        _c("rows", "BIGINT", "Rows that held it; of raw, answers"),
    ),
    key=("erasure_id", "erased_at", "table_name"),
    date_column="erased_at",
)

REFERENCE_NOTICE = Table(
    "audit",
    "reference_notice",
    "One row per month with any charge and line of finance's files that is to be looked at",
    (
        _c("month", "DATE", "First day of the month"),
        _c("file", "VARCHAR", "The file in reference_dir"),
        _c("line", "INTEGER", "Its line, the header being line 1"),
        _c(
            "kind",
            "VARCHAR",
            "unknown: it names what is not there, or in another way than elsewhere; unmatched: it matched nothing in "
            "the month; old_rate: charges were converted by a rate that was more than 45 days old",
        ),
        _c("reason", "VARCHAR", "Why, without quoting the file"),
        _c("suggestion", "VARCHAR", "What was probably meant; NULL where nothing is like it"),
    ),
    key=("month", "file", "line"),
    date_column="month",
)

LAKE_TABLES = (
    CDR,
    SMS,
    EXTENSION_TOTAL,
    INVOICE,
    INVOICE_LINE,
    BUNDLE,
    BALANCE,
    SERVICE,
    ACCOUNT_TABLE,
    EXTENSION_TABLE,
    DEPARTMENT,
    SERVICE_PLAN_RATE,
    CONTROL_TOTAL,
    QUARANTINE,
    RESTATEMENT,
)
TABLES = (
    *LAKE_TABLES,
    CALL,
    CALL_LEG,
    *MARTS,
    LOAD,
    TIE_OUT,
    COVERAGE,
    MONTH_CLOSE,
    RESTATEMENT_SINCE_CLOSE,
    ERASURE,
    REFERENCE_NOTICE,
)


@cache
def table(full_name: str) -> Table:
    """The declaration of ``schema.name``; KeyError when there is none."""
    return {t.full_name: t for t in TABLES}[full_name]
