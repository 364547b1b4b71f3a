"""Every stream by its vendor: what can be made again from raw, and what can be asked cheaply.

What lives here: the table of vendors for those who have a connection and not yet a vendor's module. What does not: the
streams themselves (the vendor modules).
"""

from assets import pbxware, sipcentric, tim4biz, time4vps
from assets.load import Source, Stream
from assets.pbxware.api import PBXware
from assets.sipcentric.api import Sipcentric
from assets.tim4biz.api import Tim4biz
from assets.time4vps.api import Time4VPS

# What each vendor's connections are asked for day by day; what is not here is a list.
DAILY: dict[str, tuple[str, ...]] = {
    "pbxware": (pbxware.CDRS,),
    "sipcentric": (sipcentric.CALLS, sipcentric.MESSAGES),
    "tim4biz": (tim4biz.TOTALS,),
    "time4vps": (),
}


def streams_of(source: Source) -> dict[str, Stream]:
    """The streams of a connection, by name."""
    made = {
        "pbxware": (pbxware.lists_stream, pbxware.cdr_stream),
        "sipcentric": (sipcentric.lists_stream, sipcentric.calls_stream, sipcentric.messages_stream),
        "tim4biz": (tim4biz.totals_stream,),
        "time4vps": (time4vps.invoices_stream,),
    }
    return {stream.name: stream for stream in (make(source) for make in made[source.vendor])}


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
