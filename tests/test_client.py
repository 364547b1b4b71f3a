"""The HTTP client against a loopback server that misbehaves on purpose."""

import base64
import copy
import gzip
import json
import logging
import pickle
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rate_limit import SharedClock, Vendor

from assets.http import client as client_module
from assets.http.auth import Auth, BasicAuth, ParameterKey
from assets.http.client import Client, Limits, Timeouts, Wait
from assets.http.errors import HttpStatusError
from assets.http.rate_limit import QuotaExhausted, RateLimit
from assets.http.secret import MaskSecrets, Secret, masked
from assets.http.urls import link_query
from pipelines.cli import LogLine
from tollbook_errors import (
    AuthError,
    ConfigError,
    ContractError,
    QuotaError,
    SecurityError,
    TollbookError,
    TransientError,
)

USER = Secret("planted-user", "env:SIP_USER")
PASSWORD = Secret('pl4nted/"p&ss w\u00f6rd\\', "env:SIP_PASSWORD")
BASIC = BasicAuth(USER, PASSWORD)
NUMBER = "+442079460123"
MIB = 1 << 20


@dataclass(frozen=True)
class Seen:
    """A request as the server saw it."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    form: list[tuple[str, str]]


Step = bytes | Callable[[socket.socket], None]


class Server:
    """Answers the n-th request with the n-th step, and all later ones with the last.

    One that is not ``threaded`` attends to a connection until that is closed, and to no other meanwhile.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, threaded: bool = True) -> None:
        self.steps: list[Step] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with outer._lock:
                    outer.connections += 1
                while (step := outer._read(self.rfile)) is not None:
                    if callable(step):
                        step(self.request)
                        return
                    self.request.sendall(step)
                    if b"Connection: close" in step:
                        return

        class Listener(socketserver.ThreadingTCPServer):
            process_request = (
                socketserver.ThreadingTCPServer.process_request if threaded else socketserver.TCPServer.process_request
            )
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                return (tls.wrap_socket(connection, server_side=True) if tls else connection), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that hangs up is what some of these tests are about

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.port: int = self._listener.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"
        threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def _read(self, stream: Any) -> Step | None:
        line = stream.readline().decode("latin-1")
        if not line.strip():
            return None
        if "HTTP/1" not in line:
            return b"HTTP/1.1 400 X\r\nConnection: close\r\n\r\n"
        method, target, _ = line.split()
        headers: dict[str, str] = {}
        while (header := stream.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0))).decode()
        path, _, query = target.partition("?")
        with self._lock:
            self.seen.append(Seen(method, path, parse_qsl(query), headers, parse_qsl(body)))
            return self.steps[min(len(self.seen), len(self.steps)) - 1]


class Clock:
    """Time that passes only by sleeping."""

    start = datetime(2026, 10, 5, 2, 0, tzinfo=UTC)

    def __init__(self) -> None:
        self.time = 0.0
        self.lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.time += seconds

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.time)


def reply(body: bytes | str = b'{"ok": true}', status: int = 200, **headers: str) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body


OK = reply()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(server: Server | None, clock: Clock | None = None, auth: Auth = BASIC, **options: Any) -> Client:
    """A client of the server; ``options`` are its own, and the fields of Timeouts, Limits and Clock by their names."""
    if clock:
        options = {"sleep": clock.sleep, "monotonic": clock.monotonic, "now": clock.now} | options
    parts = {"timeouts": Timeouts, "limits": Limits, "clock": client_module.Clock}
    for part, kind in parts.items():
        names = {each.name for each in fields(kind)} & options.keys()
        options[part] = kind(**{name: options.pop(name) for name in names})
    return Client(**{"connection": "sip", "base_url": server and server.url, "auth": auth} | options)


def ask(of: Client, **options: Any) -> Any:
    return of.request("GET", "calls", {"from": NUMBER}, endpoint="calls", window="2026-10-05", **options)


def refused(kind: type[TollbookError], of: Client, **options: Any) -> TollbookError:
    """The error that asking gives: of this kind, saying where, telling nothing, dragging no other exception along."""
    with pytest.raises(kind) as caught:
        ask(of, **options)
    error = caught.value
    assert (error.connection, error.endpoint, error.window) == ("sip", "calls", "2026-10-05")
    each: BaseException | None = error
    while each is not None:
        assert isinstance(each, TollbookError), "an exception of the layers below carries the address and the body"
        each = each.__cause__ or each.__context__
    text = "".join(traceback.format_exception(error)) + repr(pickle.loads(pickle.dumps(error)).__dict__)
    for planted in (USER.reveal(), PASSWORD.reveal(), "planted", "%2B4420", NUMBER, "gossip"):
        assert planted not in text
    return error


def rate_headers(headers: Mapping[str, str], status: int) -> Wait | None:
    def number(name: str) -> int | None:
        return int(headers[name]) if name in headers else None

    reset = number("X-Reset")
    return Wait(number("X-Limit"), number("X-Remaining"), None if reset is None else float(reset))


# --- what is sent, and what comes back ---


def test_an_answer_is_verbatim_and_exact(server: Server, clock: Clock) -> None:
    body = '\ufeff{ "cost" : 0.10, "from": "Zoë <103>", "big": 12345678901234567890 }'
    server.steps = [reply(body, X_Thing="a")]
    response = ask(client(server, clock))
    assert response.body == body[1:]
    assert response.data == {"cost": Decimal("0.10"), "from": "Zoë <103>", "big": 12345678901234567890}
    assert str(response.data["cost"]) == "0.10"
    assert response.headers["x-thing"] == "a"
    assert (response.status, response.fetched_at) == (200, Clock.start)
    assert "Zo" not in repr(response)


def test_basic_authentication_and_the_query(server: Server) -> None:
    server.steps = [OK]
    ask(client(server))
    [seen] = server.seen
    token = base64.b64encode(f"{USER.reveal()}:{PASSWORD.reveal()}".encode()).decode()
    assert seen.headers["authorization"] == f"Basic {token}"
    assert (seen.method, seen.path, seen.query) == ("GET", "/calls", [("from", NUMBER)])
    assert seen.headers["accept-encoding"] == "gzip"


def test_an_address_without_a_path_is_tried_with_the_usual_one(server: Server) -> None:
    """Only where nothing is found below it, and only until something was answered."""
    server.steps = [reply(status=404), OK, reply(status=404)]
    mine = client(server, usual_path="/api/v1")
    ask(mine)
    assert [seen.path for seen in server.seen] == ["/calls", "/api/v1/calls"]
    refused(HttpStatusError, mine)
    with_path = client(server, base_url=f"{server.url}v2", usual_path="/api/v1")
    refused(HttpStatusError, with_path)
    assert [seen.path for seen in server.seen[2:]] == ["/api/v1/calls", "/v2/calls"]


def test_a_key_goes_where_the_parameters_go(server: Server) -> None:
    server.steps = [OK]
    arguments = [("action", "pbxware.cdr.download"), ("page", "1")]
    everything = [("apikey", PASSWORD.reveal()), *arguments]
    mine = client(server, auth=ParameterKey("apikey", PASSWORD))
    mine.request("POST", "", arguments, form=True, endpoint="cdr.download")
    mine.request("GET", "", arguments, endpoint="cdr.download")
    by_form, by_query = server.seen
    assert (by_form.method, by_form.path, by_form.query, by_form.form) == ("POST", "/", [], everything)
    assert (by_query.method, by_query.path, by_query.query, by_query.form) == ("GET", "/", everything, [])


def test_an_address_may_name_the_script_that_answers(server: Server) -> None:
    server.steps = [OK]
    client(server, base_url=server.url + "index.php").request("GET", "", [("page", "1")], endpoint="cdr.download")
    assert [(seen.path, seen.query) for seen in server.seen] == [("/index.php", [("page", "1")])]


@pytest.mark.parametrize(
    "path", ["/calls", "../calls", "a/../../b", "//evil.example/", "a?b", "a#b", "a\\b", "a%2e%2e"]
)
def test_a_path_never_leaves_the_base(server: Server, path: str) -> None:
    server.steps = [OK]
    with pytest.raises(SecurityError):
        client(server, base_url=server.url + "api/v1").request("GET", path, {}, endpoint="calls")
    assert server.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://pbx.example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "https://planted@pbx.example.com/",
        "https://pbx.example.com/?apikey=planted",
        "https://pbx.example.com/#planted",
        "https://pbx.example.com\\@127.0.0.1/",
        "https://[::1/",
        "https://pbx.example.com:99999/",
        "https://" + "a" * 70 + ".example.com/",
        "pbx.example.com",
        "",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Client(connection="hq", base_url=url, auth=BASIC)
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_http_is_for_loopback_unless_allowed() -> None:
    for url in ("http://127.0.0.1:1/", "http://localhost/", "http://[::1]/x", "https://pbx.example.com:8443"):
        Client(connection="hq", base_url=url, auth=BASIC).close()
    Client(connection="hq", base_url="http://pbx.example.com", auth=BASIC, allow_http=True).close()


def test_connections_are_kept_and_requests_counted(server: Server) -> None:
    server.steps = [OK, reply(gzip.compress(b"[1]"), Content_Encoding="gzip"), OK]
    mine = client(server)
    for _ in range(6):
        ask(mine)
    assert server.connections == 1
    assert mine.requests_made == 6
    assert mine.bytes_read > 0
    assert mine.retries == 0


def test_nothing_private_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "urllib3.connectionpool", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.steps = [reply('{"name": "gossip"}'), reply(b"", 503), reply(b"", 302, Location="https://evil.example/")]
    mine = client(server, auth=ParameterKey("apikey", PASSWORD), sleep=lambda seconds: None)
    ask(mine)
    with pytest.raises(SecurityError):
        ask(mine)
    assert "calls: status 200" in caplog.text
    for planted in ("gossip", "2079460123", *(quote(PASSWORD.reveal()), PASSWORD.reveal(), "apikey")):
        assert planted not in caplog.text


# --- trouble that another try can mend ---


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def close(connection: socket.socket) -> None:
    connection.close()


def cut_chunk(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"ok": true}')


def no_last_chunk(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{"ok": true}\r\n')


def cut_undeclared(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 X\r\n\r\n{"ok": tru')


def short_body(connection: socket.socket) -> None:
    connection.sendall(reply(Content_Length="99"))


def cut_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-")


PACKED = gzip.compress(b'{"ok": true}')
# What stands in front of a vendor now and then, what its PHP says before it answers, and a response that never came.
GARBLED = [
    reply("<!DOCTYPE html><title>gossip: back soon</title>"),
    reply("<title>Zaraz wr\xf3cimy</title>".encode("latin-1"), Content_Type="text/html"),
    reply("Notice: gossip"),
    reply('<br />\n<b>Notice</b>: gossip in <b>/var/www</b><br />\n{"ok": true}'),
    reply('Deprecated: gossip\n{"ok": true}'),
    reply('{"gossip": 1} trailing'),
    reply("gossip Łódź".encode("cp1250")),
    reply(b""),
    reply(" \r\n"),
    reply(PACKED, Content_Encoding="br"),
    b"HTTP/1.1 204 X\r\n\r\n",
    reply("<html>challenge</html>", 202),
    reply('{"ok": true}', 206),
]
CUT_PACKED = reply(PACKED[:-9], Content_Encoding="gzip")
BAD_PACKED = reply(PACKED[:-8] + b"\0" * 8, Content_Encoding="gzip")


@pytest.mark.parametrize(
    "step",
    [reset, close, cut_chunk, no_last_chunk, cut_undeclared, short_body, cut_header, CUT_PACKED, BAD_PACKED, *GARBLED]
    + [reply(b"oops", status) for status in (500, 502, 503, 504, 408)],
)
def test_passing_trouble_is_tried_again(server: Server, clock: Clock, step: Step) -> None:
    server.steps = [step, step, OK]
    mine = client(server, clock)
    assert ask(mine).body == '{"ok": true}'
    assert len(server.seen) == 3
    assert mine.retries == 2
    assert 0 < clock.time < 2, "the pauses are drawn at random below half a second and a second"


@pytest.mark.parametrize("step", [reset, cut_chunk, short_body, reply(b"", 503)])
def test_lasting_trouble_ends(server: Server, clock: Clock, step: Step) -> None:
    server.steps = [step]
    refused(TransientError, client(server, clock, attempts=6))
    assert len(server.seen) == 6
    refused(TransientError, client(server, clock, request=0.01))
    assert len(server.seen) <= 8


@pytest.mark.parametrize("step", [cut_undeclared, CUT_PACKED, BAD_PACKED, *GARBLED])
def test_an_answer_that_is_always_damaged_is_a_breach_of_contract(server: Server, clock: Clock, step: Step) -> None:
    server.steps = [step]
    error = refused(ContractError, client(server, clock))
    assert len(server.seen) == 3
    assert clock.time < 1.5, "what will never be JSON is known in less than two seconds"
    assert error.kind == "ContractError"
    refused(ContractError, client(server, clock, attempts=2))
    assert len(server.seen) == 5, "whoever has less patience is told the same"


def test_an_endpoint_that_outlasted_the_retries_is_tried_once_until_it_answers(server: Server, clock: Clock) -> None:
    """Ten tries, then one; it answers, and is tried ten times again: 10 + 1 + 1 + 10."""
    server.steps = [reply(b"", 500)] * 11 + [OK] + [reply(b"", 500)]
    mine = client(server, clock)
    refused(TransientError, mine)
    assert len(server.seen) == 10
    refused(TransientError, mine)
    assert len(server.seen) == 11
    ask(mine)
    refused(TransientError, mine)
    assert len(server.seen) == 22


def test_refused_and_unknown_servers(clock: Clock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        for address in (url, "https://no-such-host.invalid/"):
            mine = client(None, clock, base_url=address, attempts=3)
            refused(TransientError, mine)
            assert mine.retries == 2


def test_a_busy_server_is_left_alone_as_long_as_it_asks(server: Server, clock: Clock) -> None:
    server.steps = [reply(b"", 503, Retry_After="20"), OK]
    ask(client(server, clock))
    assert clock.time == 20


def drip(step: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        for place in range(len(step)):
            connection.sendall(step[place : place + 1])
            time.sleep(0.05)

    return send


def endless_blanks(connection: socket.socket) -> None:
    """What arrived is JSON already; but not all that the server wanted to say."""
    connection.sendall(b"HTTP/1.1 200 X\r\n\r\n[1]")
    drip(b" " * 60)(connection)


def silence(connection: socket.socket) -> None:
    time.sleep(2)


@pytest.mark.parametrize("step", [drip(OK), endless_blanks, silence])
def test_a_slow_answer_ends_at_the_deadline(server: Server, step: Step) -> None:
    server.steps = [step]
    started = time.monotonic()
    refused(TransientError, client(server, request=0.4))
    assert 0.3 < time.monotonic() - started < 2


def test_slow_chunks_end_at_the_deadline_too(server: Server) -> None:
    server.steps = [drip(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n[\r\n" * 500)]
    started = time.monotonic()
    refused(TransientError, client(server, request=0.6))
    assert time.monotonic() - started < 2


def test_silence_ends_at_the_timeout_and_is_tried_again(server: Server, clock: Clock) -> None:
    server.steps = [lambda connection: time.sleep(1), OK]
    started = time.monotonic()
    ask(client(server, clock, read=0.1))
    assert time.monotonic() - started < 0.9


# --- answers that no further try makes better ---


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (reply(b"", 401), AuthError),
        (reply(b"", 403), AuthError),
        (reply(b"gossip", 400), HttpStatusError),
        (reply(b"gossip", 404), HttpStatusError),
        (reply(b"gossip", 418), HttpStatusError),
        (reply(b"gossip", 501), HttpStatusError),
        (b"HTTP/1.1 304 X\r\n\r\n", HttpStatusError),
        (reply('{"gossip": 1, "gossip": 2}'), ContractError),
        (reply("[" * 100_000), ContractError),
        (reply("[NaN]"), ContractError),
        (reply("[1e9999999]"), ContractError),
        (b"HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]", ContractError),
    ],
)
def test_other_answers_are_refused_at_once(
    server: Server, clock: Clock, step: bytes, kind: type[TollbookError]
) -> None:
    server.steps = [step]
    error = refused(kind, client(server, clock))
    assert len(server.seen) == 1
    assert clock.time == 0
    if isinstance(error, HttpStatusError):
        assert error.status == int(step[9:12])
    assert error.kind in {"AuthError", "ContractError"}, "people are told the documented names"


def test_refused_credentials_are_never_sent_again(server: Server) -> None:
    server.steps = [OK, reply(b"", 401), OK]
    mine = client(server, in_flight=2)
    ask(mine)
    for _ in range(3):
        refused(AuthError, mine)
    assert len(server.seen) == 2
    with pytest.raises(AuthError):
        list(mine.map(lambda number: ask(mine), range(24)))
    assert len(server.seen) == 2


def test_a_refusal_inside_a_good_status_can_be_remembered(server: Server) -> None:
    server.steps = [OK]
    mine = client(server)
    with pytest.raises(AuthError, match="the PBX refused"):
        raise mine.mark_unauthorized(AuthError("the PBX refused the key", connection="sip"))
    refused(AuthError, mine)
    assert server.seen == []


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "//evil.example/calls",
        "http://127.0.0.1:1/calls",
        "https://127.0.0.1:{port}/calls",
        "http://user@127.0.0.1:{port}/calls",
        "http://127.0.0.1:{port}\\@evil.example/",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://[evil/",
    ],
)
def test_a_redirect_elsewhere_is_never_followed(server: Server, location: str) -> None:
    server.steps = [reply(b"x" * 100, 302, Location=location.format(port=server.port))]
    refused(SecurityError, client(server))
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", ["GET", "POST", "key in the address"])
def test_no_redirect_moves_credentials_to_another_host(server: Server, status: int, way: str) -> None:
    """307 and 308 ask for the same request again, with its form: a password for whoever is named."""
    other = Server()
    other.steps = [OK]
    server.steps = [reply(b"", status, Location=f"http://localhost:{other.port}/calls")]
    mine = client(server, auth=BASIC if way == "GET" else ParameterKey("apikey", PASSWORD))
    with pytest.raises(SecurityError, match="redirects elsewhere"):
        mine.request("POST" if way == "POST" else "GET", "calls", {}, form=way == "POST", endpoint="calls")
    assert (len(server.seen), other.connections, mine.retries) == (1, 0, 0)
    other.close()


HEADERS = [
    ("Location", "/x\r\nERROR tollbook.alerts: forged"),
    ("Location", "https://evil.example/\r\n ERROR folded\x1b[2J"),
    ("X-Remaining", "5\r\nSet-Cookie: a=\x1b]0;b\x07"),
    ("Retry-After", "1\x0b\x1b[31m\x85ERROR forged"),
    ("Content-Type", "application/json; \x9b2J\rERROR forged"),
]


@pytest.mark.parametrize("status", [200, 302, 429, 503])
@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_nothing_of_a_header_is_written_to_a_log(
    server: Server, clock: Clock, caplog: pytest.LogCaptureFixture, name: str, value: str, status: int
) -> None:
    """Whatever libraries below make of it, at the most talkative."""
    caplog.set_level(logging.DEBUG)
    for logger in ("urllib3", "urllib3.connectionpool", "urllib3.response", "requests"):
        caplog.set_level(logging.DEBUG, logger=logger)
    server.steps = [reply(b'{"ok": true}', status, **{name.replace("-", "_"): value})]
    mine = client(server, clock, attempts=2, quota=3.0, read=1.0)  # a lost length is waited for
    try:
        ask(mine)
        text = ""
    except TollbookError as error:
        text = str(error)
    caplog.handler.setFormatter(LogLine("%(levelname)s %(name)s: %(message)s"))
    lines = [*text.splitlines(), *map(caplog.handler.format, caplog.records)]
    assert any("sip GET calls: status" in line for line in lines)
    for line in lines:
        assert "forged" not in line
        assert "folded" not in line
        assert line.isprintable()


@pytest.mark.parametrize("location", ["/login", "http://127.0.0.1:{port}/login", None])
def test_a_redirect_to_the_same_server_is_not_followed_either(server: Server, location: str | None) -> None:
    headers = {"Location": location.format(port=server.port)} if location else {}
    server.steps = [reply(b"", 302, **headers)]
    error = refused(HttpStatusError, client(server))
    assert "url" in error.hint
    assert len(server.seen) == 1


def bomb(connection: socket.socket) -> None:
    """64 MiB of blanks in 64 KiB of gzip."""
    packed = gzip.compress(b" " * (16 * MIB), 9) * 4
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n" + packed)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\n\r\n")
    for _ in range(64):
        connection.sendall(b" " * MIB)


def endless_packed(connection: socket.socket) -> None:
    """Many empty packed members: nothing when unpacked."""
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n")
    connection.sendall(gzip.compress(b"") * 300_000)


@pytest.mark.parametrize("step", [bomb, flood, endless_packed])
def test_an_answer_cannot_fill_the_memory(server: Server, clock: Clock, step: Step) -> None:
    server.steps = [step]
    mine = client(server, clock, body_bytes=2 * MIB)
    tracemalloc.start()
    try:
        error = refused(ContractError, mine)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "larger than 2 MiB" in str(error)
    assert len(server.seen) == 1
    assert peak < 30 * MIB, "of which the server's own blanks are 16"


# --- limits ---


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "120"}, 120),
        ({"Retry_After": "Mon, 05 Oct 2026 02:02:00 GMT"}, 120),
        # Their clock is ten minutes ahead of ours; they mean two minutes by their own.
        ({"Retry_After": "Mon, 05 Oct 2026 02:12:00 GMT", "Date": "Mon, 05 Oct 2026 02:10:00 GMT"}, 120),
        ({"X_Limit": "1200", "X_Remaining": "0", "X_Reset": "3500"}, 3500),
        ({"X_Limit": "1200", "X_Reset": "3500"}, 3500),
        ({"Retry_After": "soon", "X_Remaining": "0", "X_Reset": "77"}, 77),
        ({"Retry_After": "-1"}, 30),
        ({"Retry_After": ""}, 30),
        ({"Retry_After": "\u00b2"}, 30),
        ({"Retry_After": "Mon, 05 Oct 1926 02:02:00 GMT"}, 30),
        ({"Retry_After": "Mon, 99 Oct 99999 02:02:00 GMT"}, 30),
        ({"Retry_After": "0"}, 1),
        ({}, 30),
    ],
)
def test_a_429_is_waited_for_as_the_vendor_says(
    server: Server, clock: Clock, headers: dict[str, str], seconds: float
) -> None:
    server.steps = [reply(b"", 429, **headers), OK]
    mine = client(server, clock)
    ask(mine, rate_headers=rate_headers)
    assert clock.time == pytest.approx(seconds)
    assert mine.quota_waits_seconds == pytest.approx(seconds)
    assert len(server.seen) == 2


@pytest.mark.parametrize("value", ["1000000000", "9" * 18, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "1000"])
def test_too_long_a_wait_is_refused_with_the_time_to_resume(server: Server, clock: Clock, value: str) -> None:
    server.steps = [reply(b"", 429, Retry_After=value)]
    mine = client(server, clock, quota=2000.0)
    error = refused(QuotaError, mine)
    assert isinstance(error, QuotaExhausted)
    assert Clock.start < error.resume_at <= Clock.start + timedelta(days=1)
    assert "UTC" in error.hint
    assert clock.time < 2000


def test_a_429_for_ever_ends(server: Server, clock: Clock) -> None:
    server.steps = [reply(b"", 429, Retry_After="0")]
    refused(QuotaError, client(server, clock))
    assert clock.time <= 65 * 60
    assert len(server.seen) < 80


def test_a_limit_of_zero_is_a_matter_of_configuration(server: Server, clock: Clock) -> None:
    server.steps = [reply(b"", 429, X_Limit="0", X_Remaining="0", Retry_After="5")]
    error = refused(ConfigError, client(server, clock), rate_headers=rate_headers)
    assert "ask the vendor" in error.hint
    assert len(server.seen) == 1


def test_a_limit_of_zero_leaves_nothing_to_wait_for(server: Server, clock: Clock, tmp_path: Path) -> None:
    """T06: also the next of our requests is sent at once, and told the same."""
    server.steps = [reply(b"", 429, X_Limit="0", X_Remaining="0")]
    limit = RateLimit(tmp_path, "sip", 1200, now=lambda: clock.now().timestamp(), sleep=clock.sleep)
    for _ in range(2):
        refused(ConfigError, client(server, clock, rate_limit=limit), rate_headers=rate_headers)
    assert clock.time == 0


def test_a_long_wait_is_told_once(server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    server.steps = [reply(X_Limit="10", X_Remaining="0", X_Reset="600"), OK]
    mine = client(server, clock)
    for _ in range(3):
        ask(mine, rate_headers=rate_headers)
    told = [record.getMessage() for record in caplog.records if "waiting until" in record.getMessage()]
    assert told == ["sip: waiting until 2026-10-05 02:10:00 UTC for the vendor's request limit"]


def test_a_spent_limit_is_not_run_into(server: Server, clock: Clock) -> None:
    server.steps = [reply(X_Limit="10", X_Remaining="0", X_Reset="600"), OK]
    mine = client(server, clock)
    ask(mine, rate_headers=rate_headers)
    ask(mine, rate_headers=rate_headers)
    assert clock.time == 600


def test_one_refusal_holds_every_thread(server: Server, clock: Clock) -> None:
    server.steps = [reply(b"", 429, Retry_After="100"), OK]
    mine = client(server, clock, in_flight=1)
    assert len(list(mine.map(lambda number: ask(mine), range(8)))) == 8
    assert clock.time == 100
    assert len(server.seen) == 9


def test_the_budget_is_kept_and_learns(server: Server, clock: Clock, tmp_path: Path) -> None:
    limit = RateLimit(tmp_path, "sip", 100, now=lambda: clock.now().timestamp(), sleep=clock.sleep)
    server.steps = [reply(X_Limit="100", X_Remaining="3", X_Reset="900"), OK]
    mine = client(server, clock, rate_limit=limit)
    ask(mine, rate_headers=rate_headers)
    assert limit.room() == 3
    for _ in range(4):
        ask(mine)
    assert 900 <= clock.time < 960
    server.steps = [reply(b"", 429, Retry_After="500"), OK]
    server.seen.clear()
    refused(QuotaError, client(server, clock, rate_limit=limit, quota=300))
    assert limit.room() > 0, "a wait that was refused is not remembered"


def test_24_windows_at_once_make_no_429(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.http.client.STEP_SECONDS", 120.0)
    clock = SharedClock()
    vendor = Vendor(100, clock.now)

    def count(connection: socket.socket) -> None:
        remaining = vendor.ask()
        status = 429 if remaining < 0 else 200
        connection.sendall(reply(status=status, Connection="close", X_Limit="100", X_Remaining=str(max(0, remaining))))

    server.steps = [count]
    responses: list[int] = []

    def window() -> None:
        limit = RateLimit(tmp_path, "sip", 100, now=clock.now)
        mine = client(server, rate_limit=limit, in_flight=24, sleep=clock.sleep, monotonic=clock.now)
        responses.extend(ask(mine, rate_headers=rate_headers).status for _ in range(8))
        mine.close()

    clock.run([window] * 24)
    assert responses == [200] * 24 * 8
    assert vendor.refused == 0
    assert vendor.taken[-1] - vendor.taken[0] < 3600 * 1.05


# --- several at once ---


def test_map_keeps_the_order_and_the_number_in_flight() -> None:
    busy, most, lock = 0, 0, threading.Lock()
    mine = Client(connection="sip", base_url="http://127.0.0.1:1/", auth=BASIC, limits=Limits(in_flight=4))

    def work(item: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.002 * (item % 5))
        with lock:
            busy -= 1
        return item * item

    assert list(mine.map(work, iter(range(50)))) == [item * item for item in range(50)]
    assert 1 < most <= 4
    assert list(mine.map(work, [])) == []


def test_a_server_that_attends_to_one_connection_only_is_asked_one_by_one() -> None:
    """Connections kept open starve those that wait, so after the first that was not answered in time there is one."""
    server = Server(threaded=False)
    server.steps = [OK]
    mine = client(server, read=0.5, sleep=lambda seconds: None)
    try:
        responses = list(mine.map(lambda _: ask(mine), range(40)))
    finally:
        mine.close()
        server.close()
    assert len(responses) == 40
    assert 1 <= mine.retries <= 6
    assert server.connections <= 6


def test_the_client_bounds_requests_in_flight_whoever_asks(server: Server) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def slow(connection: socket.socket) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02)
        with lock:
            busy -= 1
        connection.sendall(reply(Connection="close"))

    server.steps = [slow]
    mine = client(server, in_flight=3)
    threads = [threading.Thread(target=ask, args=(mine,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.seen) == 12
    assert most == 3


def test_the_first_exception_ends_the_others_waits(server: Server) -> None:
    server.steps = [reply(b"", 429, Retry_After="800")]
    later = 0.0
    mine = client(server, in_flight=4, monotonic=lambda: time.monotonic() + later)
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            time.sleep(0.2)
            raise ContractError("the third is bad", connection="sip")
        ask(mine)

    started = time.monotonic()
    with pytest.raises(ContractError, match="the third is bad"):
        list(mine.map(work, range(100)))
    assert time.monotonic() - started < 5
    assert len(begun) <= 8
    server.steps = [OK]
    later = 800.0
    assert ask(mine).status == 200, "the client itself is still of use"


def test_a_failure_in_a_pool_ends_waits_that_nobody_looks_at(server: Server) -> None:
    server.steps = [reply(b"", 429, Retry_After="800")]
    mine = client(server, in_flight=4)

    def fail() -> None:
        raise ContractError("bad", connection="sip")

    with mine.pool() as pool:
        waiting = pool.submit(ask, mine)
        time.sleep(0.2)
        failing = pool.submit(fail)
        assert waiting.exception(timeout=5) is not None
        with pytest.raises(ContractError, match="bad"):
            pool.result(waiting)
        with pytest.raises(ContractError, match="bad"):
            pool.result(failing)
    assert len(server.seen) == 1


# --- what must not move credentials ---


def test_the_environment_moves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = Server()
    trap.steps = [OK]
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\ndefault login other password other\n")
    netrc.chmod(0o600)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, trap.url)
        monkeypatch.setenv(name.lower(), trap.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NETRC", str(netrc))
    server.steps = [OK]
    client(server, auth=ParameterKey("apikey", PASSWORD)).request("GET", "calls", {}, endpoint="calls")
    assert trap.seen == []
    assert "authorization" not in server.seen[0].headers
    trap.close()


def test_cookies_are_not_kept(server: Server) -> None:
    server.steps = [reply(Set_Cookie="PHPSESSID=1; Path=/"), OK]
    mine = client(server)
    ask(mine)
    ask(mine)
    assert "cookie" not in server.seen[1].headers


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 (``good``), one for another host (``other``), and their keys."""
    folder = tmp_path_factory.mktemp("tls")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl: install it, as with `apt-get install openssl`")
    for name, host in (("good", "IP:127.0.0.1"), ("other", "DNS:pbx.example.com")):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}"]
        command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("certificate", "bundle", "trusted"),
    [("good", "good", True), ("good", None, False), ("good", "other", False), ("other", "other", False)],
)
def test_certificates_are_verified_without_a_fallback(
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    certificate: str,
    bundle: str | None,
    trusted: bool,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority / f"{certificate}.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / f"{certificate}.pem", authority / f"{certificate}.key")
    server = Server(context)
    server.steps = [OK]
    mine = client(server, clock, ca_bundle=authority / f"{bundle}.pem" if bundle else None)
    if trusted:
        assert ask(mine).data == {"ok": True}
    else:
        refused(SecurityError, mine)
        assert server.seen == []
        assert clock.time == 0
    server.close()


def test_a_server_that_speaks_no_tls_gets_no_credentials(server: Server, clock: Clock) -> None:
    server.steps = [OK]
    refused(SecurityError, client(server, clock, base_url=server.url.replace("http:", "https:")))
    assert server.seen == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_useless_ca_bundle_is_refused(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if content:
        bundle.write_text(content)
    with pytest.raises(ConfigError, match="ca_bundle"):
        Client(connection="hq", base_url="https://pbx.example.com/", auth=BASIC, ca_bundle=bundle)


# --- links ---


def test_a_links_query_is_read() -> None:
    link = "http://elsewhere.example/api/v1/customers/1/calls?pageSize=20&page=2&createdBefore=2023-04-05T12%3A59%3A05Z"
    assert link_query(link) == {"pageSize": "20", "page": "2", "createdBefore": "2023-04-05T12:59:05Z"}
    assert link_query("/calls?page=2") == {"page": "2"}
    assert link_query("https://pbx.example.com/calls") == {}


@pytest.mark.parametrize(
    "link",
    [
        None,
        17,
        "",
        "http://evil.example\\@pbx.example.com/?page=2",
        "http://user:pass@pbx.example.com/?page=2",
        "file:///etc/passwd?page=2",
        "javascript:alert(1)?page=2",
        "http://[::1?page=2",
        "http://pbx.example.com/?page=2&page=3",
        "http://pbx.example.com/?page=%ff",
        "http://pbx.example.com/?page=%00",
        "http://pbx.example.com/?page=2\r\nHost: evil.example",
        "http://pbx.example.com/?" + "a=1&" * 5000,
        "http://pbx.example.com/?" + "&".join(f"a{i}=1" for i in range(200)),
    ],
)
def test_a_hostile_link_says_nothing(link: Any) -> None:
    assert link_query(link) == {}


@pytest.mark.slow
@given(st.text() | st.text(alphabet="htps:/\\@[]?&=%#.a1\x00 "))
def test_no_link_breaks_anything(link: str) -> None:
    assert all(isinstance(value, str) for value in link_query(link).values())


# --- secrets ---


def test_a_secret_does_not_show() -> None:
    secret = Secret("planted", "env:PBXWARE_API_KEY")
    assert f"{secret} {secret!r} {secret!s:>5} {[secret]}" == "*** ***   *** [***]"
    assert secret.reveal() == "planted"
    assert secret == Secret("planted")
    assert secret != Secret("other")
    assert len({secret, Secret("planted")}) == 1
    assert copy.deepcopy(secret) is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")
    assert "planted" not in repr(BASIC) + repr(ParameterKey("apikey", secret))


def test_every_spelling_of_a_secret_is_masked() -> None:
    value = PASSWORD.reveal()
    pair = f"{USER.reveal()}:{value}".encode()
    spellings = [
        value,
        quote(value),
        quote(value, safe=""),
        quote(value, safe="").lower(),
        quote_plus(value),
        base64.b64encode(value.encode()).decode(),
        base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
        base64.b64encode(pair).decode(),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
    ]
    for spelling in spellings:
        assert masked(f"a {spelling} b", BASIC.secrets) == "a *** b"
    assert masked("nothing to see", [Secret(""), PASSWORD]) == "nothing to see"


def test_log_records_are_masked_with_their_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    handler = caplog.handler
    rule = MaskSecrets(BASIC.secrets)
    handler.addFilter(rule)
    try:
        try:
            raise ValueError(f"address ?apikey={quote(PASSWORD.reveal(), safe='')}")
        except ValueError:
            logging.getLogger("elsewhere").exception("failed with %s", PASSWORD.reveal())
    finally:
        handler.removeFilter(rule)
    assert "failed with ***" in caplog.text
    assert "address ?apikey=***" in caplog.text
    assert quote(PASSWORD.reveal(), safe="") not in caplog.text


def test_a_user_name_with_a_colon_is_refused() -> None:
    with pytest.raises(ConfigError):
        BasicAuth(Secret("a:b"), PASSWORD)
