"""When two connections certainly lead to one account, and so would count everything twice.

What lives here: that rule, and how hosts and names are compared. What does not: what is recorded and held of accounts
(``identity``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_OWN_MACHINE = "this machine"


@dataclass(frozen=True)
class Account:
    """Where a connection leads to, and as whom. ``place``: the port and path at its host.

    ``login`` tells user names apart, of PBXware API keys; None: it is not known. ``tenants``: the only ones that are
    loaded; none: all.
    """

    vendor: str
    host: str
    place: str
    login: object
    tenants: tuple[str, ...]

    @classmethod
    def at(cls, vendor: str, url: str, login: object, tenants: Sequence[str]) -> "Account":
        address = urlsplit(url)
        place = f"{address.port or ''}{address.path.rstrip('/')}"
        return cls(vendor, plain_host(address.hostname or ""), place, login, tuple(tenants))

    def is_certainly(self, other: "Account") -> bool:
        """Whether both are one account, in part at least. On this machine each place may be the end of a tunnel."""
        return (
            self.login is not None
            and (self.vendor, self.host, self.login) == (other.vendor, other.host, other.login)
            and (self.host != _OWN_MACHINE or self.place == other.place)
            and (not self.tenants or not other.tenants or bool(set(self.tenants) & set(other.tenants)))
        )


def plain_host(host: str) -> str:
    """A host as it is compared: this machine has several names."""
    host = host.lower().rstrip(".")
    return _OWN_MACHINE if host in _LOOPBACK else host


def plain_name(name: str) -> str:
    """A connection's name as it is compared: case, ``-`` and ``_`` make no difference."""
    return name.lower().replace("-", "_")
