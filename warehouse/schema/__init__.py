"""Every table and column of Tollbook, once: name, type, unit and meaning.

What lives here: all tables together, and finding one by its name. What does not: the tables themselves: ``core`` (what
vendors recorded), ``marts`` (sums of it), ``audit`` (loads and proofs), and ``types`` (what a table is). From these
declarations the Parquet write gate (Arrow), the DuckDB tables and their comments, and the data dictionary are made.
"""

from functools import cache

from warehouse.schema.audit import (
    AUDIT,
    CONTROL_TOTAL,
    COVERAGE,
    ERASURE,
    LOAD,
    MONTH_CLOSE,
    QUARANTINE,
    REFERENCE_NOTICE,
    RESTATEMENT,
    RESTATEMENT_SINCE_CLOSE,
    TIE_OUT,
)
from warehouse.schema.core import (
    ACCOUNT_TABLE,
    BALANCE,
    BUNDLE,
    CALL,
    CALL_LEG,
    CDR,
    CORE,
    DEPARTMENT,
    EXTENSION_TABLE,
    EXTENSION_TOTAL,
    INVOICE,
    INVOICE_LINE,
    SERVICE,
    SERVICE_PLAN_RATE,
    SMS,
)
from warehouse.schema.marts import MARTS
from warehouse.schema.types import (
    CHARGE_KINDS,
    FIRST_YEAR,
    LAST_YEAR,
    MONEY,
    USAGE_KINDS,
    VENDORS,
    Column,
    Table,
)

__all__ = [
    "ACCOUNT_TABLE",
    "BALANCE",
    "BUNDLE",
    "CALL",
    "CALL_LEG",
    "CDR",
    "CHARGE_KINDS",
    "CONTROL_TOTAL",
    "COVERAGE",
    "DEPARTMENT",
    "DERIVED",
    "ERASURE",
    "EXTENSION_TABLE",
    "EXTENSION_TOTAL",
    "FIRST_YEAR",
    "INVOICE",
    "INVOICE_LINE",
    "LAKE_TABLES",
    "LAST_YEAR",
    "LOAD",
    "MARTS",
    "MONEY",
    "MONTH_CLOSE",
    "QUARANTINE",
    "REFERENCE_NOTICE",
    "RESTATEMENT",
    "RESTATEMENT_SINCE_CLOSE",
    "SERVICE",
    "SERVICE_PLAN_RATE",
    "SMS",
    "TABLES",
    "TIE_OUT",
    "USAGE_KINDS",
    "VENDORS",
    "Column",
    "Table",
    "table",
]

TABLES = (*CORE, *MARTS, *AUDIT)
DERIVED = (CALL_LEG, CALL, *MARTS)  # made of other tables by the day, in this order
LAKE_TABLES = tuple(table_ for table_ in TABLES if table_.in_lake)


@cache
def table(full_name: str) -> Table:
    """The declaration of ``schema.name``; KeyError when there is none."""
    return {t.full_name: t for t in TABLES}[full_name]
