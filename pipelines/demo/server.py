"""The four vendors behind one loopback HTTP server.

What lives here: ``Vendors`` (the world, its server and what tests hold on to) and the HTTP handler. What does not: what
happened (``pbx_traffic``, ``sip_traffic``, ``hosting``), how a vendor answers (``*_api``), misbehaviour (``faults``).

Below ``/pbxware/``, ``/sipcentric/api/v1``, ``/tim4biz/api`` and ``/time4vps/api`` the vendors answer; a POST to
``/_demo/NAME`` with form fields changes their data, as the method of the same name does.
"""

import base64
import binascii
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import RLock, Thread
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import parse_qsl, urlsplit

from pipelines.demo import config, faults
from pipelines.demo.faults import Fault, Faults
from pipelines.demo.hosting import Hosting, Invoice
from pipelines.demo.messages import Options, RawResponse, Request
from pipelines.demo.pbx_traffic import PbxTraffic
from pipelines.demo.pbxware_api import PbxwareApi
from pipelines.demo.sip_traffic import SipTraffic
from pipelines.demo.sipcentric_api import SipcentricApi
from pipelines.demo.tim4biz_api import Tim4bizApi
from pipelines.demo.time4vps_api import Time4vpsApi
from pipelines.demo.truth import Truth

PATHS = {
    "pbxware": "/pbxware/",
    "sipcentric": "/sipcentric/api/v1",
    "tim4biz": "/tim4biz/api",
    "time4vps": "/time4vps/api",
}
SECRETS = {
    "PBXWARE_API_KEY": "demo-pbx-key-Xq7vT2mK9w",
    "SIPCENTRIC_USERNAME": "reseller-demo",
    "SIPCENTRIC_PASSWORD": "demo-sip-pass-5Zr8/hLc",
    "TIM4BIZ_USERNAME": "accounts-demo",
    "TIM4BIZ_PASSWORD": "demo-tim-pass-W3n&pQ6d",
    "TIME4VPS_USERNAME": "accounts@example.com",
    "TIME4VPS_PASSWORD": "demo-vps-pass-J9f+yB4s",
}
_HIDDEN = ("apikey",)


class Logged(NamedTuple):
    """One request that was answered; ``params`` without secrets, ``t`` by the monotonic clock."""

    vendor: str
    endpoint: str
    params: dict[str, str]
    status: int
    t: float


class Api(Protocol):
    """What each vendor's module offers."""

    def endpoint(self, request: Request) -> str: ...
    def response(self, request: Request) -> RawResponse: ...


class Vendors:
    """The four vendors from ``first`` to ``last`` (business days, inclusive), serving while in the ``with`` block.

    The same ``seed``, days, ``scale`` and ``options`` give the same data, whatever is asked first. ``scale`` multiplies
    the calls a day: 1 is some 300 legs on the PBX, 3200 about a million. ``options`` are those of ``Options``.
    """

    def __init__(
        self,
        seed: int = 7,
        first: date = date(2026, 10, 1),
        last: date = date(2026, 10, 31),
        scale: float = 1.0,
        options: Mapping[str, Any] | Options | None = None,
        faults: Sequence[Fault] = (),
        port: int = 0,
    ) -> None:
        self.first, self.last = first, last
        self.options = Options.of(options)
        self.secrets = dict(SECRETS)
        self.pbx = PbxTraffic(seed, first, last, scale)
        self.sip = SipTraffic(seed, first, last, scale)
        self.hosting = Hosting(first, last, self.options.vps_currency)
        self.truth = Truth(self.pbx, self.sip, self.hosting)
        self.faults = Faults(list(faults))
        self.requests: list[Logged] = []
        self._lock = RLock()
        self._apis: dict[str, Api] = {
            "pbxware": PbxwareApi(self.pbx, self.options, self.secrets["PBXWARE_API_KEY"]),
            "sipcentric": SipcentricApi(self.sip, self.options, self._login("SIPCENTRIC")),
            "tim4biz": Tim4bizApi(self.pbx, self.options, self._login("TIM4BIZ")),
            "time4vps": Time4vpsApi(self.hosting, last, self.options, self._login("TIME4VPS")),
        }
        self._server = _Server(self, port)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        host = f"http://127.0.0.1:{self._server.server_port}"
        self.urls = {vendor: host + path for vendor, path in PATHS.items()}

    def _login(self, vendor: str) -> str:
        return f"{self.secrets[f'{vendor}_USERNAME']}:{self.secrets[f'{vendor}_PASSWORD']}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write_config(self, path: Path, *, data_dir: str | Path = "data", **overrides: Any) -> Path:
        """Write a tollbook.toml for this server to ``path``, its reference folder beside it; see ``config.write``."""
        return config.write(self, path, data_dir=data_dir, **overrides)

    # What can happen to the data after it was read.

    def add_late_rows(self, day: date, n: int, vendor: str = "pbxware", account: str | None = None) -> None:
        """``n`` calls of a day turn up late, at a PBX tenant or a Sipcentric customer."""
        with self._lock:
            if vendor == "pbxware":
                self.pbx.add_late_rows(day, n, account or "2")
            else:
                self.sip.add_late_rows(day, n, account or "25")

    def withdraw_row(self, day: date, vendor: str = "pbxware", account: str | None = None) -> None:
        """A call of a day is there no longer."""
        with self._lock:
            if vendor == "pbxware":
                self.pbx.withdraw_row(day, account or "2")
            else:
                self.sip.withdraw_row(day, account or "25")

    def settle_provisional(self) -> None:
        """Unrated PBX legs get their cost; provisional Sipcentric calls become final, with theirs."""
        with self._lock:
            self.pbx.commit_file()
            self.sip.commit_file()

    def pay_invoice(self, id_: str) -> Invoice:
        """An open invoice is paid: its number and date change. KeyError when it is not open."""
        with self._lock:
            return self.hosting.pay(id_)

    def change(self, name: str, fields: Mapping[str, str]) -> bool:
        """The change named in a POST to ``/_demo/NAME``; False when there is none of that name."""
        vendor, account = fields.get("vendor", "pbxware"), fields.get("account")
        changes: dict[str, Callable[[], object]] = {
            "add_late_rows": lambda: self.add_late_rows(
                date.fromisoformat(fields["day"]), int(fields.get("n", "1")), vendor, account
            ),
            "withdraw_row": lambda: self.withdraw_row(date.fromisoformat(fields["day"]), vendor, account),
            "settle_provisional": self.settle_provisional,
            "pay_invoice": lambda: self.pay_invoice(fields["id"]),
            "fault": lambda: self.faults.add(Fault.parse(fields["spec"])),
            "clear_faults": self.faults.clear,
        }
        if name not in changes:
            return False
        changes[name]()
        return True

    def response(self, request: Request) -> RawResponse:
        """Answer a request, misbehaving as told, and log it."""
        api = self._apis[request.vendor]
        request.endpoint = api.endpoint(request)
        asked = {name: value for name, value in request.params.items() if name not in _HIDDEN}
        struck = self.faults.striking(request)
        with self._lock:
            faults.ask(struck, request, self)
            reply = api.response(request)
        reply = faults.response(struck, request, reply)
        self.requests.append(Logged(request.vendor, request.endpoint, asked, reply.status, time.monotonic()))
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, vendors: Vendors, port: int) -> None:
        self.vendors = vendors
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def _handle(self) -> None:
        address = urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fields = dict(parse_qsl(address.query, keep_blank_values=True))
        if "urlencoded" in self.headers.get("Content-Type", ""):
            fields |= parse_qsl(sent.decode(), keep_blank_values=True)
        if address.path.startswith("/_demo/"):
            self._change(address.path.removeprefix("/_demo/"), fields)
            return
        for vendor, prefix in PATHS.items():
            if address.path.startswith(prefix.rstrip("/")):
                path = address.path[len(prefix.rstrip("/")) :]
                request = Request(vendor, self.command, path, fields, _basic(self.headers.get("Authorization")))
                self._send(self.server.vendors.response(request))
                return
        self._send(RawResponse({"error": "Not Found"}, 404))

    def _change(self, name: str, fields: dict[str, str]) -> None:
        try:
            known = self.command == "POST" and self.server.vendors.change(name, fields)
        except (KeyError, ValueError, StopIteration, IndexError) as error:
            self._send(RawResponse({"error": f"{type(error).__name__}: {error}"}, 400))
            return
        self._send(RawResponse({"success": True}) if known else RawResponse({"error": "Not Found"}, 404))

    def _send(self, reply: RawResponse) -> None:
        """Headers and body in one write, unless a fault has them sent otherwise."""
        body = reply.body if reply.body is not None else json.dumps(reply.data).encode()
        headers = {"Content-Type": "application/json", **reply.headers}
        if reply.ending == "chunk":
            headers["Transfer-Encoding"] = "chunked"
        elif reply.ending == "unframed":
            headers["Connection"] = "close"
        elif reply.status != 204:
            headers["Content-Length"] = str(len(body))
        head = f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('',))[0]}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if reply.delay_seconds:
            time.sleep(reply.delay_seconds)
        with suppress(OSError):  # the client hung up
            self._write(reply, f"{head}\r\n".encode(), body)

    def _write(self, reply: RawResponse, head: bytes, body: bytes) -> None:
        half = body[: len(body) // 2]
        match reply.ending:
            case "reset":  # closing with nothing to linger for sends a reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            case "short" | "unframed":
                self.wfile.write(head + half)
                self.close_connection = True
                return
            case "chunk":
                self.wfile.write(head + f"{len(body):x}\r\n".encode() + half)
                self.close_connection = True
                return
        if reply.drip_seconds:
            self.wfile.write(head)
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(reply.drip_seconds)
            return
        self.wfile.write(head + body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests are in ``Vendors.requests``, and an address can hold a key."""


def _basic(header: str | None) -> str:
    """``user:password`` of a Basic authentication header; empty when there is none or it cannot be read."""
    if not header or not header.lower().startswith("basic "):
        return ""
    try:
        return base64.b64decode(header[6:].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
