"""Every stream by its vendor: what can be made again from raw, and what can be asked cheaply.

What lives here: the table of vendors for those who have a connection and not yet a vendor's module. What does not: the
streams themselves (the vendor modules).
"""

from assets import pbxware, sipcentric, tim4biz, time4vps
from assets.pbxware.api import PBXware
from assets.sipcentric.api import Sipcentric
from assets.stream import Source, Stream
from assets.tim4biz.api import Tim4biz
from assets.time4vps.api import Time4VPS

STREAMS: dict[str, tuple[Stream, ...]] = {
    "pbxware": pbxware.STREAMS,
    "sipcentric": sipcentric.STREAMS,
    "tim4biz": tim4biz.STREAMS,
    "time4vps": time4vps.STREAMS,
}


def streams_of(vendor: str) -> dict[str, Stream]:
    """A vendor's streams, by name."""
    return {stream.name: stream for stream in STREAMS[vendor]}


def daily_streams(vendor: str) -> tuple[str, ...]:
    """The names of the streams that a vendor's connections are read by day; the others are lists."""
    return tuple(stream.name for stream in STREAMS[vendor] if stream.daily)


def probe(source: Source) -> None:
    """One cheap authenticated request; raises what is wrong."""
    client = source.client()
    if source.vendor == "pbxware":
        PBXware(client, source.tenants).probe()
    elif source.vendor == "sipcentric":
        Sipcentric(client).probe()
    elif source.vendor == "tim4biz":
        Tim4biz(client, source.account_zone).probe()
    else:
        Time4VPS(client).probe()
