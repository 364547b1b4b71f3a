"""The tables of ``core``: what the vendors recorded, and the calls put together from it.

What lives here: their columns, keys and days. What does not: how they are filled (the vendor modules of ``assets``;
``call.sql`` and ``call_leg.sql`` for calls), or how Parquet and the database store them (``lake``, ``database``).
"""

from warehouse.schema.types import (
    ACCOUNT,
    CALL_DAYS,
    CONNECTION,
    CURRENCY,
    DIRECTION,
    EXTENSION,
    INSTANT,
    MONEY,
    OUTCOME,
    PROVENANCE,
    REMOTE,
    REMOTE_TYPE,
    VENDOR,
    Column,
    Table,
)

CDR = Table(
    "core",
    "cdr",
    "One row per record the vendor reported: a call leg, not a call",
    (
        Column("cdr_id", "VARCHAR", "Unique and stable; a hash of what identifies the leg"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column(
            "native_id", "VARCHAR", "The vendor's own id (PBXware Unique ID, Sipcentric uri); not unique on PBXware"
        ),
        Column(
            "linked_id",
            "VARCHAR",
            "What the legs of one call share: Sipcentric linkedId; PBXware Unique ID, on the legs that a group, queue "
            "or IVR made, or that a call was forwarded by, that of the call",
        ),
        Column("occurrence", "INTEGER", "Number, from 1, among rows identical in everything the vendor says"),
        Column("started_at", INSTANT, "When the leg started"),
        Column("call_date", "DATE", "Business day of started_at in the configured zone"),
        DIRECTION,
        OUTCOME,
        Column("from_text", "VARCHAR", "Caller as the vendor wrote it"),
        Column("from_name", "VARCHAR", "Name part of from_text"),
        Column("from_number", "VARCHAR", "Number part of from_text; NULL when withheld"),
        Column("from_e164", "VARCHAR", "Caller in E.164, when it is an outside number"),
        Column("to_text", "VARCHAR", "Called party as the vendor wrote it"),
        Column("to_name", "VARCHAR", "Name part of to_text"),
        Column(
            "to_number", "VARCHAR", "Number part of to_text: as dialled, with codes and the digits for an outside line"
        ),
        Column(
            "to_e164",
            "VARCHAR",
            "Called party in E.164, when it is an outside number: that behind what else was dialled",
        ),
        Column(
            "to_kind",
            "VARCHAR",
            "Who the called party is: person (a telephone of ours, or an outside party), machine (our queue, ring "
            "group, IVR, conference or mailbox, or a number of ours that leads to one), number (a number of ours that "
            "leads elsewhere: who answered is on the call's other legs), NULL if not known, as for a feature code",
        ),
        EXTENSION,
        *REMOTE,
        REMOTE_TYPE,
        Column("duration_seconds", "BIGINT", "Seconds, as the vendor reports the leg's length"),
        Column("rated_seconds", "BIGINT", "Seconds the vendor charged for; NULL if it does not say"),
        Column("cost", MONEY, "What the vendor charges; NULL = unrated, never 0 for unknown"),
        CURRENCY,
        Column("is_provisional", "BOOLEAN", "The vendor says that the record can still change"),
        Column("mos", "DECIMAL(6,3)", "Mean opinion score, 1 to 5; NULL = no measurement"),
        Column("has_recording", "BOOLEAN", "The vendor says that a recording exists"),
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
        Column("sms_id", "VARCHAR", "Unique and stable; a hash of connection and uri"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column("native_id", "VARCHAR", "The vendor's uri of the message"),
        Column("sent_at", INSTANT, "When the message was created"),
        Column("sms_date", "DATE", "Business day of sent_at"),
        Column("direction", "VARCHAR", "inbound, outbound or unknown"),
        Column("status", "VARCHAR", "pending, sent, failed or unknown; NULL for received messages"),
        Column("from_text", "VARCHAR", "Sender as the vendor wrote it"),
        Column("from_e164", "VARCHAR", "Sender in E.164"),
        Column("to_text", "VARCHAR", "Recipient as the vendor wrote it"),
        Column("to_e164", "VARCHAR", "Recipient in E.164"),
        *REMOTE,
        Column(
            "delivery_status", "INTEGER", "1 delivered, 2 rejected, 4 buffered, 8 accepted, 16 rejected by the carrier"
        ),
        Column("cost", MONEY, "What the vendor charges; NULL = unrated"),
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
        Column("total_date", "DATE", "Business day of the totals"),
        Column("extension", "VARCHAR", "Extension as TIM4biz names it"),
        Column("name", "VARCHAR", "Name as TIM4biz gives it"),
        Column("calls", "BIGINT", "Calls; NULL if the reply has no such field"),
        Column("incoming", "BIGINT", "Incoming calls; NULL if the reply has no such field"),
        Column("outgoing", "BIGINT", "Outgoing calls; NULL if the reply has no such field"),
        Column(
            "duration_seconds", "BIGINT", "Seconds; NULL if the reply has no such field, or no unit that can be told"
        ),
        Column("duration_figure", MONEY, "Duration as given where nothing says its unit (750 for 12:30); else NULL"),
        Column("cost", MONEY, "Cost as TIM4biz rated it; NULL if the reply has no such field"),
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
        Column("invoice_id", "VARCHAR", "The vendor's id; number and date can change when it is paid"),
        Column("number", "VARCHAR", "Number printed on the invoice"),
        Column("status", "VARCHAR", "The vendor's status, in lower case"),
        Column("issued_on", "DATE", "Date of issue (the original one, where a payment moved it)"),
        Column("due_on", "DATE", "Date due"),
        Column("paid_at", INSTANT, "When it was paid; NULL while unpaid"),
        Column("subtotal", MONEY, "Before tax; negative for a credit note"),
        Column("tax", MONEY, "All taxes (tax + tax2); negative for a credit note"),
        Column("tax_rate", "DECIMAL(9,4)", "Percent of the first tax"),
        Column("credit", MONEY, "Account credit applied to it: a payment, not a smaller expense"),
        Column(
            "credit_added",
            MONEY,
            "What of it fills the account's credit once it is paid: an asset, no expense; negative where a credit "
            "note takes it back",
        ),
        Column("total", MONEY, "What was left to pay after applied credit"),
        CURRENCY,
        Column("merged_into", "VARCHAR", "invoice_id of the invoice that this one was merged into; NULL if it was not"),
        Column(
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
        Column("invoice_id", "VARCHAR", "The invoice"),
        Column("line_id", "VARCHAR", "The vendor's id of the line"),
        Column(
            "type", "VARCHAR", "The vendor's item type, as written: Hosting, Addon, Other, Upgrade, Credit, LateFee, …"
        ),
        Column("item_id", "VARCHAR", "The service it is for; 0 = none, -2 = a payment fee"),
        Column("description", "VARCHAR", "Text of the line"),
        Column("quantity", MONEY, "Quantity"),
        Column("unit_amount", MONEY, "Price of one"),
        Column("taxed", "BOOLEAN", "Whether tax was added to it"),
        Column("line_total", MONEY, "quantity × unit_amount as the vendor states it; negative on a credit note"),
        Column("credit_added", MONEY, "What of line_total fills the account's credit, and is no expense"),
        Column(
            "period_from", "DATE", "First day that it pays for: as its text says, else by its service's cycle back then"
        ),
        Column("period_until", "DATE", "The day after the last that it pays for; NULL where that is not known"),
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
        Column("bundle_id", "VARCHAR", "The vendor's id of the bundle"),
        Column("name", "VARCHAR", "Name of the bundle"),
        Column("valid_from", INSTANT, "Start of the period"),
        Column("valid_to", INSTANT, "End of the period"),
        Column("valid_from_date", "DATE", "Business day of valid_from: the day its price is charged to"),
        Column("inclusive_minutes", "BIGINT", "Minutes included"),
        Column("used_minutes", "BIGINT", "Minutes used"),
        Column("available_minutes", "BIGINT", "Minutes left"),
        Column("price_monthly", MONEY, "Price of the period"),
        Column("auto_renew", "BOOLEAN", "Whether it renews by itself"),
        Column("status", "VARCHAR", "active, expired or unknown"),
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
        Column("account_type", "VARCHAR", "prepaid, postpaid or hosting"),
        Column("balance", MONEY, "Sipcentric: credit left. Time4VPS: total of the unpaid invoices"),
        Column("credit", MONEY, "Time4VPS: account credit; NULL elsewhere"),
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
        Column("service_id", "VARCHAR", "The vendor's id; invoice lines name it in item_id"),
        Column("name", "VARCHAR", "Product"),
        Column("domain", "VARCHAR", "Host name"),
        Column("category", "VARCHAR", "Product category"),
        Column("status", "VARCHAR", "The vendor's status, in lower case"),
        Column("billing_cycle", "VARCHAR", "Monthly, Quarterly, …"),
        Column("next_due_on", "DATE", "Next due date"),
        Column("recurring_amount", MONEY, "Price per billing cycle"),
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
        Column("name", "VARCHAR", "Name of the tenant or company"),
        Column("code", "VARCHAR", "PBXware tenant code, which can stand before its extensions' numbers"),
        Column("country", "VARCHAR", "ISO 3166 country that national numbers are read in"),
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
        Column("extension_id", "VARCHAR", "The vendor's id"),
        Column("extension", "VARCHAR", "Its number"),
        Column("name", "VARCHAR", "Its name"),
        Column("type", "VARCHAR", "phone, virtual, group, queue, ivr, mailbox, did or trunk"),
        Column("status", "VARCHAR", "enabled, disabled or NULL"),
        Column("department_id", "VARCHAR", "First department it belongs to; NULL if none"),
        Column("department", "VARCHAR", "Name of that department"),
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
        Column("department_id", "VARCHAR", "The vendor's id"),
        Column("name", "VARCHAR", "Its name"),
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
        Column("rate_id", "VARCHAR", "splan:route:dgroup, with the time band after a further colon where there is one"),
        Column("plan_id", "VARCHAR", "Service plan"),
        Column("plan_name", "VARCHAR", "Name of the plan"),
        Column("inbound_price", MONEY, "Price of an inbound minute"),
        Column("outbound_price", MONEY, "Price of an outbound minute"),
        Column("min_charge", MONEY, "Minimum charge"),
        Column("connection_charge", MONEY, "Connection charge"),
        Column("rating", "VARCHAR", "Rating steps in seconds: first/next"),
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
        Column("call_id", "VARCHAR", "Unique and stable; the cdr_id of its first leg"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column("linked_id", "VARCHAR", "What its legs share"),
        Column("started_at", INSTANT, "Start of the first leg"),
        Column("call_date", "DATE", "Business day of started_at"),
        Column("direction", "VARCHAR", "The outside direction where any leg has one, else internal or unknown"),
        Column(
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
        Column("legs", "INTEGER", "Number of legs"),
        Column(
            "outbound_legs", "INTEGER", "Legs to an outside party; of an inbound call those that it was forwarded by"
        ),
        Column("attempts", "INTEGER", "Legs that were not answered"),
        Column(
            "linking",
            "VARCHAR",
            "How it was put together: single (one leg), native_id (one PBXware Unique ID), put_through (legs that a "
            "group, queue or IVR made, or that forwarded it, have ids of their own) or linked_id (Sipcentric)",
        ),
        Column("talk_seconds", "BIGINT", "Seconds of the longest leg that a person answered; 0 if there is none"),
        Column(
            "outbound_seconds", "BIGINT", "Seconds of the longest answered leg to an outside party; 0 if there is none"
        ),
        Column(
            "is_long",
            "BOOLEAN",
            "Whether a leg lasted long_call_hours (tollbook.toml) or more: a hung call, most likely",
        ),
        Column("cost", MONEY, "Sum over all legs; NULL when every leg is unrated"),
        Column("unrated_legs", "INTEGER", "Legs without a cost"),
        CURRENCY,
    ),
    key=("call_id",),
    date_column="call_date",
    scope=CALL_DAYS,
    reads=("core.cdr",),
    tied_out=True,
)

CALL_LEG = Table(
    "core",
    "call_leg",
    "One row per leg: which call it belongs to",
    (
        Column("cdr_id", "VARCHAR", "The leg, in core.cdr"),
        Column("call_id", "VARCHAR", "The call, in core.call"),
        Column("call_date", "DATE", "Business day of the call (a leg after midnight belongs to the call's day)"),
        Column("leg_number", "INTEGER", "From 1, by start"),
        Column("leg_date", "DATE", "Business day of the leg itself"),
    ),
    key=("cdr_id",),
    date_column="call_date",
    scope=CALL_DAYS,
    reads=("core.cdr",),
    tied_out=True,
)

CORE = (
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
    CALL,
    CALL_LEG,
)
