"""The business days that records are partitioned by.

A partition is a business day in the configured zone, named YYYY-MM-DD. The current day is one too: loading it early
gives what there is so far, and the look-back loads it again.
"""

from datetime import date

from dagster import DailyPartitionsDefinition


def business_days(first: date, timezone: str) -> DailyPartitionsDefinition:
    """Business days from ``first`` to today, in ``timezone`` (IANA name)."""
    return DailyPartitionsDefinition(start_date=first.isoformat(), timezone=timezone, end_offset=1)
