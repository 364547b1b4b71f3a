"""The marts: sums of ``core`` for questions about usage and cost.

What lives here: of each mart its columns, its key, and what an update needs to know of it: which of its days are made
again (``scope``), of which tables (``reads``), and whether it is proved (``tied_out``). In their order they are made.
What does not: how they are made (``warehouse/marts/*.sql``) and proved (``warehouse/tie_outs/*.sql``).
"""

from warehouse.schema.types import (
    CALL_DAYS,
    CALL_MONTHS,
    CALLBACK_DAYS,
    CLOSED_AT,
    CLOSED_BY_LOAD,
    CLOSED_MONTHS,
    CONNECTION,
    COST_DAYS,
    COST_MONTHS,
    CURRENCY,
    DIMENSIONS,
    DIRECTION,
    EVERY_TIME,
    EXTENSION,
    FRAUD_DAYS,
    HOURS,
    INSTANT,
    MONEY,
    MONTH,
    MOVED_MONTHS,
    RECONCILED_DAYS,
    VENDOR,
    Column,
    Table,
)

_COST_MEASURES = (
    Column(
        "quantity", MONEY, "Calls (each counted once, as core.call has it), messages, bundles, or the lines' quantity"
    ),
    Column("cost", MONEY, "Sum of the vendor's cost in currency; NULL when everything in the row is unrated"),
    Column("unrated", "BIGINT", "Records in the row without a cost"),
    Column("reporting_cost", MONEY, "cost in the reporting currency; NULL when there is no rate for the day"),
    Column("unconverted", "BIGINT", "Rated records in the row whose cost could not be converted"),
)
_COST_CENTRE = Column("cost_centre", "VARCHAR", "From cost_centres.csv, else the PBX department, else unassigned")
_CHARGE_KIND = Column("charge_kind", "VARCHAR", "call, sms, bundle, hosting, tax, credit or fee")
_COST_DIMENSIONS = (
    _COST_CENTRE,
    _CHARGE_KIND,
    Column("direction", "VARCHAR", "Direction of calls and messages; NULL for other charges"),
    Column("destination_country", "VARCHAR", "Country called or written to; NULL unless outbound"),
    CURRENCY,
)

_MONTHLY_COST = (
    MONTH,
    *DIMENSIONS,
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

MARTS = (
    Table(
        "mart",
        "usage_daily",
        "One row per day, account, extension and direction: calls, not legs",
        (
            Column("call_date", "DATE", "Business day"),
            *DIMENSIONS,
            EXTENSION,
            DIRECTION,
            Column("calls", "BIGINT", "Calls"),
            Column("answered", "BIGINT", "Calls that a person answered"),
            Column("no_answer", "BIGINT", "Calls nobody took"),
            Column("busy", "BIGINT", "Busy"),
            Column("failed", "BIGINT", "Failed"),
            Column("abandoned", "BIGINT", "Calls that only a machine answered: a queue, ring group, IVR or the like"),
            Column("other", "BIGINT", "Cancelled, voicemail and unknown"),
            Column("legs", "BIGINT", "Legs of those calls"),
            Column("talk_seconds", "BIGINT", "Seconds talked"),
        ),
        key=("call_date", "connection", "account_id", "extension", "direction"),
        date_column="call_date",
        scope=CALL_DAYS,
        reads=("core.call",),
        tied_out=True,
    ),
    Table(
        "mart",
        "usage_hourly",
        "One row per UTC hour, account and direction",
        (
            Column("hour", INSTANT, "Start of the hour"),
            *DIMENSIONS,
            DIRECTION,
            Column("calls", "BIGINT", "Calls started in the hour"),
            Column("answered", "BIGINT", "Answered calls started in the hour"),
            Column(
                "erlangs",
                MONEY,
                "Traffic carried: seconds talked within the hour / 3600; an inbound call that was forwarded to an "
                "outside party also takes an outbound line",
            ),
            Column("peak_concurrent", "BIGINT", "Most lines talked on at one moment of the hour"),
        ),
        key=("hour", "connection", "account_id", "direction"),
        date_column="hour",
        scope=HOURS,
        reads=("core.call",),
        tied_out=True,
    ),
    Table(
        "mart",
        "cost_daily",
        "One row per day, account, extension, cost centre, kind of charge, item, direction, destination and currency",
        (
            Column("cost_date", "DATE", "Business day; invoices: date of issue; bundles: first day of validity"),
            *DIMENSIONS,
            EXTENSION,
            *_COST_DIMENSIONS,
            Column(
                "item", "VARCHAR", "service_id of a hosting charge, bundle_id of a bundle; NULL where there is none"
            ),
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
        scope=COST_DAYS,
        reads=(
            "core.cdr",
            "core.call",
            "core.sms",
            "core.bundle",
            "core.invoice",
            "core.invoice_line",
            "core.extension",
        ),
        tied_out=True,
    ),
    Table(
        "mart",
        "cost_monthly",
        "mart.cost_daily by month, without extension and item",
        _MONTHLY_COST,
        key=_MONTHLY_KEY,
        date_column="month",
        scope=COST_MONTHS,
        reads=("mart.cost_daily",),
        tied_out=True,
    ),
    Table(
        "mart",
        "cost_centre_usage",
        "One row per month, account and cost centre: what shared costs are allocated by",
        (
            MONTH,
            *DIMENSIONS,
            _COST_CENTRE,
            Column("calls", "BIGINT", "Calls of its extensions"),
            Column("talk_seconds", "BIGINT", "Seconds talked"),
            Column(
                "extensions", "BIGINT", "Extensions with a call in the month; one that moved counts in both centres"
            ),
        ),
        key=("month", "connection", "account_id", "cost_centre"),
        date_column="month",
        scope=COST_MONTHS,
        reads=("mart.usage_daily", "mart.cost_daily"),
        tied_out=True,
    ),
    Table(
        "mart",
        "chargeback",
        "One row per month, account, kind of charge, currency, rule, cost centre that incurred and cost centre charged",
        (
            MONTH,
            *DIMENSIONS,
            _CHARGE_KIND,
            CURRENCY,
            Column("source_cost_centre", "VARCHAR", "Cost centre that the charges stand on in mart.cost_monthly"),
            Column(
                "cost_centre",
                "VARCHAR",
                "Cost centre that is charged: source_cost_centre for a direct cost; unallocated where the rule found "
                "nothing to divide by",
            ),
            Column("method", "VARCHAR", "direct, or what it was divided by: calls, minutes, extensions or shares"),
            Column("rule", "VARCHAR", "Name of the rule in allocation.csv; NULL for a direct cost"),
            Column(
                "calls_of",
                "VARCHAR",
                "Connection whose calls, minutes or extensions count; NULL = all, or no such method",
            ),
            Column(
                "driver",
                MONEY,
                "This cost centre's calls, seconds talked, extensions or weight; NULL for a direct cost",
            ),
            Column("driver_total", MONEY, "The same over all cost centres; 0 where the cost stays unallocated"),
            Column(
                "share", "DECIMAL(9,6)", "driver / driver_total, rounded to six places to be read; NULL where 0 / 0"
            ),
            Column(
                "pool_cost", MONEY, "What was divided, in currency: cost adds up to it over the cost centres of the row"
            ),
            Column(
                "unit",
                MONEY,
                "Smallest unit it was divided in: cost is within one unit of pool_cost × driver / driver_total",
            ),
            Column("cost", MONEY, "What the cost centre is charged, in currency"),
            Column(
                "reporting_cost", MONEY, "The same in the reporting currency; NULL when part of pool_cost has no rate"
            ),
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
        scope=COST_MONTHS,
        reads=("mart.cost_daily", "mart.cost_centre_usage"),
        tied_out=True,
    ),
    Table(
        "mart",
        "budget",
        "One row per month, cost centre, vendor, kind of charge and currency of budgets.csv",
        (
            MONTH,
            Column("cost_centre", "VARCHAR", "Cost centre, compared with cost_centre in mart.chargeback"),
            Column("vendor", "VARCHAR", "Vendor it is for; NULL = not by vendor"),
            Column("charge_kind", "VARCHAR", "Kind of charge it is for; NULL = not by kind"),
            CURRENCY,
            Column("budget", MONEY, "Amount in currency"),
            Column("reporting_budget", MONEY, "Amount at the rate of the month's first day; NULL when there is none"),
        ),
        key=("month", "cost_centre", "vendor", "charge_kind", "currency"),
        date_column="month",
        scope=COST_MONTHS,
        reads=(),  # made of finance's budgets.csv
        tied_out=True,
    ),
    Table(
        "mart",
        "journal",
        "One row per line of a month's journal; an entry is a connection's month in one currency, debit = credit",
        (
            MONTH,
            Column("entry", "VARCHAR", "The entry: month, connection and currency"),
            Column("line", "INTEGER", "Number within the entry, from 1"),
            Column("posting_date", "DATE", "Last day of the month"),
            VENDOR,
            CONNECTION,
            Column(
                "role",
                "VARCHAR",
                "cost, tax, creditor (what is owed) or credit_balance (credit with the vendor that an invoice used up)",
            ),
            Column("account", "VARCHAR", "Ledger account, from accounts.csv, else a name that says what it is"),
            Column(
                "cost_centre", "VARCHAR", "Cost centre charged, as in mart.chargeback; NULL where the account has none"
            ),
            Column("charge_kind", "VARCHAR", "Kind of charge; NULL for what is owed or paid on an invoice as a whole"),
            Column("document", "VARCHAR", "Number of the invoice; NULL for what is not on one"),
            Column("description", "VARCHAR", "What the line is, to be read in the ledger"),
            CURRENCY,
            Column("debit", MONEY, "Debit, in whole minor units of currency (cents); 0 on a credit line"),
            Column("credit", MONEY, "Credit, in the same; 0 on a debit line"),
            Column("exact", MONEY, "Debit − credit before it was rounded to the minor unit"),
        ),
        key=("entry", "line"),
        date_column="month",
        scope=COST_MONTHS,
        reads=("mart.chargeback", "mart.cost_monthly", "core.invoice", "core.invoice_line"),
        tied_out=True,
    ),
    Table(
        "mart",
        "cost_monthly_as_closed",
        "One row per row of mart.cost_monthly as it stood when the month was closed; the latest close of each month",
        (*_MONTHLY_COST, CLOSED_AT, CLOSED_BY_LOAD),
        key=_MONTHLY_KEY,
        date_column="month",
        scope=CLOSED_MONTHS,
        reads=(),  # made of the files that closing a month wrote
        tied_out=True,
    ),
    Table(
        "mart",
        "month_movement",
        "One row per closed month, account, cost centre, kind of charge and currency: cost as closed beside cost now",
        (
            Column("month", "DATE", "First day of the closed month"),
            *DIMENSIONS,
            *(column for column in _COST_DIMENSIONS if column.name in ("cost_centre", "charge_kind", "currency")),
            Column("as_closed", MONEY, "Cost in mart.cost_monthly_as_closed; 0 where nothing was rated then"),
            Column("now", MONEY, "Cost in mart.cost_monthly; 0 where nothing is rated"),
            Column("moved", MONEY, "now − as_closed"),
            CLOSED_AT,
        ),
        key=("month", "connection", "account_id", "cost_centre", "charge_kind", "currency"),
        date_column="month",
        scope=MOVED_MONTHS,
        reads=("mart.cost_monthly", "mart.cost_monthly_as_closed"),
        tied_out=True,
    ),
    Table(
        "mart",
        "invoice_aging",
        "One row per open invoice, aged on the day of the last load",
        (
            VENDOR,
            CONNECTION,
            Column("invoice_id", "VARCHAR", "The invoice"),
            Column("number", "VARCHAR", "Its number"),
            Column("status", "VARCHAR", "Its status"),
            Column("issued_on", "DATE", "Date of issue"),
            Column("due_on", "DATE", "Date due"),
            Column("as_of", "DATE", "Day the age is reckoned on"),
            Column("days_overdue", "INTEGER", "Days since due_on; 0 or less = not yet due"),
            Column("bucket", "VARCHAR", "not due, 1-30, 31-60, 61-90 or over 90"),
            Column("open_amount", MONEY, "Left to pay"),
            CURRENCY,
        ),
        key=("connection", "invoice_id"),
        scope=EVERY_TIME,  # it ages
        reads=("core.invoice",),
        tied_out=True,
    ),
    Table(
        "mart",
        "extension_reconciliation",
        "One row per TIM4biz connection, day and extension: TIM4biz against the PBX's own calls",
        (
            Column("call_date", "DATE", "Business day"),
            Column("connection", "VARCHAR", "The TIM4biz connection"),
            Column(
                "pbx_connection",
                "VARCHAR",
                "The PBX connection compared with; NULL when only TIM4biz has the extension",
            ),
            Column("extension", "VARCHAR", "Extension"),
            Column("our_calls", "BIGINT", "Calls on the PBX; NULL = none recorded"),
            Column("their_calls", "BIGINT", "Calls in TIM4biz"),
            Column("calls_difference", "BIGINT", "ours − theirs"),
            Column("our_seconds", "BIGINT", "Seconds on the PBX"),
            Column("their_seconds", "BIGINT", "Seconds in TIM4biz"),
            Column("seconds_difference", "BIGINT", "ours − theirs"),
            Column("our_cost", MONEY, "Cost on the PBX"),
            Column("their_cost", MONEY, "Cost in TIM4biz"),
            Column("cost_difference", MONEY, "ours − theirs; NULL where the currencies differ"),
            CURRENCY,
            Column(
                "class",
                "VARCHAR",
                "exact, within_tolerance, mismatch, only_theirs, only_ours, or not_compared: TIM4biz says no calls or "
                "no seconds, and nothing else differs",
            ),
        ),
        key=("call_date", "connection", "pbx_connection", "extension"),
        date_column="call_date",
        scope=RECONCILED_DAYS,
        reads=("core.call", "core.extension_total"),
        tied_out=True,
    ),
    Table(
        "mart",
        "busy_hour",
        "One row per month, connection or account, and definition of the busy hour: traffic and the lines it takes",
        (
            MONTH,
            VENDOR,
            CONNECTION,
            Column("scope", "VARCHAR", "connection: all its accounts together, as they share its lines; or account"),
            Column("account_id", "VARCHAR", "The account; NULL where scope is connection"),
            Column(
                "definition",
                "VARCHAR",
                "TCBH: time-consistent busy hour, the hour of the clock with the most traffic averaged over the days; "
                "ADPFH: average daily peak full hour, the mean of each day's own busiest hour (ITU-T E.500)",
            ),
            Column(
                "starts_at",
                "VARCHAR",
                "Local time at which the hour begins, HH:MM; NULL for ADPFH: every day its own",
            ),
            Column("days", "BIGINT", "Days averaged over: Mondays to Fridays on which outside calls were talked"),
            Column(
                "erlangs", MONEY, "Mean traffic of that hour: inbound and outbound calls, talk time, without ringing"
            ),
            Column("lines_1_percent", "INTEGER", "Lines so that at most 1 % of the calls find none free (Erlang B)"),
            Column("lines_2_percent", "INTEGER", "The same for 2 %"),
            Column("lines_5_percent", "INTEGER", "The same for 5 %"),
        ),
        key=("month", "connection", "scope", "account_id", "definition"),
        date_column="month",
        scope=CALL_MONTHS,
        reads=("mart.usage_hourly",),
        tied_out=False,  # means of maxima
    ),
    Table(
        "mart",
        "unanswered",
        "One row per day, local hour, account and extension that inbound calls were offered to",
        (
            Column("call_date", "DATE", "Business day"),
            Column("hour_of_day", "INTEGER", "Local hour in which the calls began, 0 to 23"),
            *DIMENSIONS,
            Column(
                "extension",
                "VARCHAR",
                "Who took the call; if nobody did, who was rung first; NULL if not known",
            ),
            Column("offered", "BIGINT", "Inbound calls"),
            Column("answered", "BIGINT", "Of those, taken by a person"),
            Column("unanswered", "BIGINT", "Of those, taken by nobody; a caller who left a message is here too"),
            Column(
                "voicemail",
                "BIGINT",
                "Of the unanswered, those who left a message and whom no machine had answered (core.call.outcome)",
            ),
            Column(
                "abandoned", "BIGINT", "Of the unanswered, those that only a queue, ring group, IVR or the like took"
            ),
            Column(
                "called_back",
                "BIGINT",
                "Of the unanswered, those whose number the account then called and reached, by the end of the next "
                "business day; never for a withheld or erased number",
            ),
            Column("unanswered_percent", "DECIMAL(5,2)", "100 × unanswered / offered; add up the counts, never this"),
        ),
        key=("call_date", "hour_of_day", "connection", "account_id", "extension"),
        date_column="call_date",
        scope=CALLBACK_DAYS,
        reads=("core.call",),
        tied_out=True,
    ),
    Table(
        "mart",
        "destination_monthly",
        "One row per month, account, country called, type of number and currency: calls to an outside party",
        (
            MONTH,
            *DIMENSIONS,
            Column(
                "destination_country",
                "VARCHAR",
                "Country called (ISO 3166); NULL if unknown, worldwide or a short number",
            ),
            Column("destination_type", "VARCHAR", "Kind of number, as in core.call.remote_type"),
            CURRENCY,
            Column(
                "calls",
                "BIGINT",
                "Calls with a leg there, also inbound ones that were forwarded there; the attempts of one call are one",
            ),
            Column("answered", "BIGINT", "Of those, answered there"),
            Column("talk_seconds", "BIGINT", "Seconds of each call's longest answered leg there"),
            Column("minutes", MONEY, "talk_seconds / 60"),
            Column("cost", MONEY, "Cost of those legs, unanswered attempts included; NULL when nothing is rated"),
            Column("unrated", "BIGINT", "Calls with a leg there that is not rated"),
            Column(
                "average_cost", MONEY, "Mean cost of the answered calls that are wholly rated; NULL: there are none"
            ),
            Column("first_date", "DATE", "Business day of the first of these calls"),
        ),
        key=("month", "connection", "account_id", "destination_country", "destination_type", "currency"),
        date_column="month",
        scope=CALL_MONTHS,
        reads=("core.cdr", "core.call", "core.call_leg"),
        tied_out=True,
    ),
    Table(
        "mart",
        "top_calls",
        "One row per month, ranking, currency and place: the 50 dearest calls and the 50 longest",
        (
            MONTH,
            Column("ranking", "VARCHAR", "cost or duration"),
            Column("currency", "VARCHAR", "ISO 4217 code of cost; NULL for calls whose legs differ in currency"),
            Column("place", "BIGINT", "1 to 50; of equal calls the earlier one first"),
            *DIMENSIONS,
            Column("call_id", "VARCHAR", "The call, in core.call, where its number is"),
            Column("call_date", "DATE", "Business day"),
            Column("started_at", INSTANT, "When it started"),
            Column(
                "extension", "VARCHAR", "Our extension of the leg that cost most or lasted longest; NULL if not known"
            ),
            Column("direction", "VARCHAR", "That leg's: inbound, outbound, internal or unknown"),
            Column("remote_country", "VARCHAR", "Country of that leg's outside party"),
            Column("remote_type", "VARCHAR", "Kind of that leg's outside number, as in core.cdr.remote_type"),
            Column("talk_seconds", "BIGINT", "Seconds talked"),
            Column("cost", MONEY, "Cost in currency; NULL = not rated"),
        ),
        key=("month", "ranking", "currency", "place"),
        date_column="month",
        scope=CALL_MONTHS,
        reads=("core.cdr", "core.call", "core.call_leg"),
        tied_out=False,  # single calls, no sum of them
    ),
    Table(
        "mart",
        "fraud_signal",
        "One row per day, account, extension, rule, country and currency that went over a limit: to look at, not a "
        "verdict",
        (
            Column("signal_date", "DATE", "Business day"),
            *DIMENSIONS,
            Column(
                "extension", "VARCHAR", "Who called; new_country: who did first; NULL for spend_spike, or if not known"
            ),
            Column(
                "rule",
                "VARCHAR",
                "out_of_hours (calls abroad while the office is closed), premium (premium-rate numbers), foreign_nanp "
                "(numbers that begin with +1 and are not of the United States or Canada), new_country (one that the "
                "account never called before), spend_spike (against the same weekday's median)",
            ),
            Column("country", "VARCHAR", "Country called; NULL for the rules that are not about one"),
            Column("currency", "VARCHAR", "ISO 4217 code of cost; NULL where the calls differ in currency"),
            Column("severity", "VARCHAR", "low, medium or high: high from three times the limit; new_country is low"),
            Column("calls", "BIGINT", "Calls to outside parties that count, forwarded ones and attempts too"),
            Column("cost", MONEY, "Their cost; NULL when none is rated"),
            Column("measured", MONEY, "What was compared: calls, or for spend_spike the day's cost"),
            Column("threshold", MONEY, "The limit that it reached, in the same unit"),
        ),
        key=("signal_date", "connection", "account_id", "extension", "rule", "country", "currency"),
        date_column="signal_date",
        scope=FRAUD_DAYS,
        reads=("core.cdr", "core.call_leg", "core.account", "mart.cost_daily", "mart.destination_monthly"),
        tied_out=False,  # days over a limit, no sum of them
    ),
)
