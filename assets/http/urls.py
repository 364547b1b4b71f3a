"""Addresses: which may be asked, where a redirect leads, and what a link asks for.

What lives here: reading addresses without going to them. What does not: sending anything (``client``, ``transport``).
Words about an address never repeat it: it may hold a password or a telephone number.
"""

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit


def url_problem(url: str, *, allow_http: bool = False, may_have_query: bool = False) -> str:
    """What is wrong with an address that is configured; empty when nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # port raises ValueError when it is no port number
    except ValueError:
        return "expected an address, such as https://pbx.example.com/"
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\\x00-\x1f\x7f-\x9f\ud800-\udfff]", url):
        return "expected an address that begins with https://, such as https://pbx.example.com/"
    if "@" in parts.netloc:
        return "expected an address without user and password: they have keys of their own"
    if not may_have_query and ("?" in url or "#" in url):
        return "expected an address without ? and #"
    if parts.scheme == "http" and not (allow_http or is_loopback(host)):
        return "expected https:// (http:// would send secrets readable, so it is for loopback only)"
    return ""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def same_origin(location: str, base_url: str) -> bool:
    """Whether a redirect stays on the server; what cannot be read does not."""
    if re.search(r"[\x00-\x20\\]", location):
        return False
    try:
        target = urlsplit(urljoin(base_url, location))
        return target.username is None and _origin(target) == _origin(urlsplit(base_url))
    except ValueError:
        return False


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def link_query(link: str | None) -> dict[str, str]:
    """The query parameters of a link that a server sent, which is never fetched; {} where unreadable or hostile."""
    if not isinstance(link, str) or len(link) > 8192 or re.search(r"[\x00-\x20\x7f\\]", link):
        return {}
    try:
        parts = urlsplit(link)
        pairs = parse_qsl(parts.query, keep_blank_values=True, errors="strict", max_num_fields=100)
        known = parts.scheme in {"", "http", "https"} and parts.username is None and parts.password is None
    except ValueError:
        return {}
    query = dict(pairs)
    readable = len(query) == len(pairs) and all(text.isprintable() for pair in pairs for text in pair)
    return query if known and readable else {}
