"""One HTTP exchange: a prepared request goes out, a bounded response comes back, or it is said why not.

What lives here: deadlines, size caps, unpacking, TLS, and what a broken connection means. What does not: retries,
limits, credentials, and what a status means (``client``).

It sends through ``requests``' adapter and not through its ``Session``: a session follows redirects, reads their bodies
whole, keeps cookies, and takes proxies, passwords and certificates from the environment. Here none of that can happen.
"""

import http.client
import io
import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from assets.http.errors import RetryableError
from tollbook_errors import ContractError, SecurityError

CHUNK_BYTES = 65536

# Their lines hold whole addresses, with keys and telephone numbers in the query.
for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.response", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(lambda record: False)


@dataclass(frozen=True)
class RawResponse:
    """What came back. ``body`` is unpacked, and None where the status was not one of those whose body is wanted."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    wire_bytes: int


class Transport:
    """What sends a request and gives what came back: the seam for tests that send nothing."""

    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        timeout_seconds: float,
        deadline_seconds: float,
        wanted: frozenset[int],
        where: Mapping[str, str],
    ) -> RawResponse:
        """Send ``request`` and read the response; the body only for a ``wanted`` status.

        ``timeout_seconds`` bounds every wait for the server, ``deadline_seconds`` all of them together, headers and
        body included. Raises RetryableError, ContractError (no known form, or beyond the cap) and SecurityError (TLS).
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the kept connections; those in use when they are done."""


class HttpTransport(Transport):
    """The connections to one server, kept open between requests.

    ``verify`` is the path of a CA bundle, or True for the well-known authorities. There is no way to verify nothing.
    """

    def __init__(self, *, connections: int, verify: str | bool, max_body_bytes: int) -> None:
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        self._verify = verify or True
        self._max_body_bytes = max_body_bytes

    def close(self) -> None:
        pools = self._adapter.poolmanager.pools
        # To clear the manager alone leaves connections open for as long as somebody uses their pool.
        for pool in [pools[key] for key in pools.keys()]:  # noqa: SIM118 (they cannot be gone through)
            pool.close()
        self._adapter.close()

    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        timeout_seconds: float,
        deadline_seconds: float,
        wanted: frozenset[int],
        where: Mapping[str, str],
    ) -> RawResponse:
        failure: Exception
        wait = min(timeout_seconds, deadline_seconds)
        _deadline.until, _deadline.wait = time.monotonic() + deadline_seconds, wait
        try:
            response = self._adapter.send(request, stream=True, timeout=(wait, wait), verify=self._verify, proxies={})
            try:
                return self._read(response, wanted, where)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            failure = _failure(error, where)
        if time.monotonic() >= _deadline.until:
            failure = RetryableError(f"the response was not complete after {deadline_seconds:.0f} s")
        # Raised only here: those exceptions carry the request's address and body.
        raise failure

    def _read(self, response: requests.Response, wanted: frozenset[int], where: Mapping[str, str]) -> RawResponse:
        status, headers = response.status_code, response.headers
        if status not in wanted:
            return RawResponse(status, headers, None, 0)
        packed = headers.get("Content-Encoding", "").strip().lower()
        if packed not in {"", "identity", "gzip", "x-gzip"}:
            raise RetryableError("the response is packed in a way that was not asked for", garbled=True)
        unpacker = _Gunzip() if packed.endswith("gzip") else None
        body = bytearray()
        arrived = 0
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
            arrived += len(chunk)
            for part in unpacker.unpack(chunk) if unpacker else (chunk,):
                body += part
                if len(body) > self._max_body_bytes:
                    break
            if max(arrived, len(body)) > self._max_body_bytes:
                raise ContractError(
                    f"the response is larger than {self._max_body_bytes >> 20} MiB",
                    **where,
                    hint="if the vendor means it, raise max_answer_mib for this connection",
                )
        # Where a length was declared, the layers below have counted it.
        if not arrived and "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            raise RetryableError("the connection ended before the response", garbled=True)
        if unpacker and arrived and not unpacker.complete:
            raise RetryableError("the packed response was cut short", garbled=True)
        return RawResponse(status, headers, bytes(body), arrived)


class _Gunzip:
    """Unpacks gzip piece by piece, so that a small response cannot fill the memory before it is measured."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)

    @property
    def complete(self) -> bool:
        return self._inflater.eof

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(wbits=31)
            try:
                part = self._inflater.decompress(chunk, CHUNK_BYTES)
            except zlib.error:
                raise RetryableError("the packed response is damaged", garbled=True) from None
            yield part
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data


_deadline = threading.local()  # of this thread's exchange: ``until`` by the monotonic clock, ``wait`` seconds at most


class _TimedReader(io.RawIOBase):
    """Reads from a socket, and waits each time no longer than the exchange has left: a drip has an end, too."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _deadline.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, _deadline.wait))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock))


class _TimedHTTP(HTTPConnection):
    response_class = _TimedResponse


class _TimedHTTPS(HTTPSConnection):
    response_class = _TimedResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


# What is wrong with a certificate, by OpenSSL's codes, and what to do.
_OWN_AUTHORITY = "where that is meant, name its certificate in ca_bundle"
_OTHER_NAME = (
    "is for another host",
    "correct the connection's url, or get the server a certificate of its name",
)
_UNVERIFIED = ("cannot be verified", "where the server has its own authority, name its certificate in ca_bundle")
_CERTIFICATE = {
    9: ("is not valid yet", "check this machine's clock, and the server's certificate"),
    10: ("has expired", "whoever runs the server has to renew it; check this machine's clock, too"),
    18: ("was signed by the server itself", _OWN_AUTHORITY),
    19: ("was signed by an authority that is not known here", _OWN_AUTHORITY),
    20: ("was signed by an authority that is not known here", _OWN_AUTHORITY),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


def _failure(error: BaseException, where: Mapping[str, str]) -> Exception:
    """What an exception from below means, in words without an address."""
    causes = list(_causes(error))

    def found(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            what, hint = _CERTIFICATE.get(cause.verify_code, _UNVERIFIED)
            return SecurityError(f"the server's certificate {what}; nothing was sent", **where, hint=hint)
    if found(ssl.SSLError, urllib3.exceptions.SSLError, requests.exceptions.SSLError) and not found(
        ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError, TimeoutError
    ):
        return SecurityError("no secure connection to the server could be made", **where)
    if found(requests.exceptions.InvalidHeader, urllib3.exceptions.InvalidHeader):
        return ContractError("the response's headers contradict each other", **where)
    if found(requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError):
        return ContractError("the server's address is not valid", **where)
    if found(urllib3.exceptions.NameResolutionError, socket.gaierror):
        return RetryableError("the server's name was not found")
    if found(ConnectionRefusedError):
        return RetryableError("the server refused the connection")
    if found(requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        return RetryableError("the server did not answer in time", unanswered=True)
    if found(http.client.IncompleteRead, urllib3.exceptions.IncompleteRead):
        return RetryableError("the response was cut short")
    return RetryableError("the connection broke")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and every exception wrapped in it: the layers below wrap in different ways."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [*each.args, each.__cause__, each.__context__, getattr(each, "reason", None)]
