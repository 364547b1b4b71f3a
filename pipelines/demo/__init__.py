"""The bundled vendors: one loopback HTTP server that speaks the four vendors' APIs about one invented company.

What lives here: ``company`` (who exists), ``pbx_traffic``, ``sip_traffic`` and ``hosting`` (what happened), ``truth``
(what a correct load must find), ``faults`` (how to make the vendors misbehave), ``pbxware_api``, ``sipcentric_api``,
``tim4biz_api`` and ``time4vps_api`` (how each vendor answers), ``server`` (HTTP) and ``config`` (a tollbook.toml for
it). What does not: anything that Tollbook itself uses to load; the vendors import nothing from ``assets`` or
``warehouse``.
"""

from pipelines.demo.faults import Fault
from pipelines.demo.server import Vendors

__all__ = ["Fault", "Vendors"]
