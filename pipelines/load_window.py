"""Which business days a load covers when nobody says otherwise.

What lives here: that range, for the schedule and the command line alike, and the first day that is kept. What does not:
running the load, dropping what is not kept.
"""

from datetime import UTC, date, datetime, timedelta

from pipelines.settings import Settings

LONGEST_GAP = 92  # days: a longer one is a backfill, which somebody should want


def today(settings: Settings, now: datetime | None = None) -> date:
    """The current business day. ``now`` is any instant; by default the present one."""
    return (now or datetime.now(UTC)).astimezone(settings.zone).date()


def keep_from(settings: Settings, now: datetime | None = None) -> date | None:
    """The first business day that ``retention_days`` keeps, the first of a month; None: everything is kept.

    Months go whole: of half a month every sum would look like that of a cheaper one.
    """
    if settings.retention_days is None:
        return None
    return (today(settings, now) - timedelta(days=settings.retention_days)).replace(day=1)


def default_window(settings: Settings, now: datetime | None = None) -> tuple[date, date]:
    """First and last business day of a load, both included.

    Yesterday and the look-back before it; and, where loads were missed for longer than that, back to the first day
    that some connection has not got.
    """
    from warehouse.lake import Lake

    yesterday = today(settings, now) - timedelta(days=1)
    lake = Lake(settings.data_dir)
    newest = [day for connection in settings.connections if (day := lake.raw.newest_day(connection.name))]
    missed = min(newest, default=yesterday) + timedelta(days=1)
    earliest = max(yesterday - timedelta(days=LONGEST_GAP), settings.first_date)
    first = max(min(yesterday - timedelta(days=settings.lookback_days), missed), earliest)
    return min(first, yesterday), yesterday
