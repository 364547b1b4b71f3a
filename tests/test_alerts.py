"""Who is told, and when: that nothing ran, and, by the heartbeat, that a night was a good one."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from dagster import DagsterInstance, RunStatusSensorContext, SkipReason, build_sensor_context
from support.core_rows import load, warehouse
from support.listening import ended_run, listening
from support.loading import LONDON, World, unwatched, world

from assets.http.secret import Secret
from pipelines import alerts
from pipelines.alerts import send_alert, send_heartbeat
from pipelines.definitions import build
from pipelines.demo.company import TIM, VPS
from pipelines.demo.faults import Fault
from pipelines.resources import Runtime
from pipelines.sensors import LOAD_ENDED
from pipelines.settings import Alerts, Settings, load_settings

pytestmark = pytest.mark.slow  # whole loads and servers that hang

TOKEN = "T0ken-of-the-address"
HQ = '[[connections]]\nname = "hq"\nvendor = "pbxware"\nurl = "http://127.0.0.1:9/"\napi_key = "env:K"\n'


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """What a thread that was given up logs is this test's, and no thread stays behind in Dagster's daemon."""
    yield
    for thread in threading.enumerate():
        if "attempt" in thread.name:
            thread.join(15)
            assert not thread.is_alive()


def settings_of(folder: Path, *lines: str) -> Settings:
    config = folder / "tollbook.toml"
    config.write_text("\n".join(["[tollbook]", 'timezone = "UTC"', *lines]))
    return load_settings(config)


def loaded(folder: Path, *ages: timedelta) -> None:
    """Nights so long ago, each of the day before."""
    database = warehouse(folder / "data")
    rows = []
    for age in ages:
        began = datetime.now(UTC) - age
        day = began.date() - timedelta(days=1)
        rows.append(load(f"{began:%Y%m%dT%H%M%SZ}", day, started_at=began, finished_at=began, rows=9))
    database.update([], rows)
    database.publish()


# --- nothing ran ------------------------------------------------------------------------------------------------------


class Watched:
    """The sensor, with what it remembers from one look to the next."""

    def __init__(self, settings: Settings, cursor: str | None = None) -> None:
        self.sensor = build(settings).resolve_sensor_def("nothing_ran")
        self.cursor = cursor

    def look(self) -> str:
        with DagsterInstance.ephemeral() as instance:
            context = build_sensor_context(instance=instance, cursor=self.cursor)
            said = self.sensor(context)
            self.cursor = context.cursor
        assert isinstance(said, SkipReason)
        return said.skip_message or ""


def test_somebody_is_told_once_each_time_that_nothing_ran(tmp_path: Path) -> None:
    with listening() as (heard, webhook, _):
        settings = settings_of(tmp_path, HQ, "[alerts]", f'webhook = "http://127.0.0.1:{webhook}/{TOKEN}"')
        watched = Watched(settings)
        loaded(tmp_path, timedelta(hours=35))
        assert watched.look() == "every connection has had a good load"
        assert heard.posted == []
        loaded(tmp_path, timedelta(hours=37))  # another load of the same data directory: an older one changes nothing
        assert watched.look() == "every connection has had a good load"

        (tmp_path / "data" / "tollbook.duckdb").unlink()
        (tmp_path / "data" / "private").rename(tmp_path / "earlier")
        loaded(tmp_path, timedelta(days=14))
        for _ in range(3):
            assert "hq is stale: its cdr reaches to " in watched.look()
        assert len(heard.posted) == 1
        assert heard.posted[0]["text"].startswith("Tollbook: no good load\n")
        assert "hq is stale: its cdr reaches to " in heard.posted[0]["text"]
        assert "14 days ago" in heard.posted[0]["text"]

        loaded(tmp_path, timedelta(hours=1))
        assert watched.look() == "every connection has had a good load"
        (tmp_path / "data" / "tollbook.duckdb").unlink()
        (tmp_path / "data" / "private").rename(tmp_path / "again")
        loaded(tmp_path, timedelta(days=3))
        watched.look()
        assert len(heard.posted) == 2


def test_a_schedule_that_somebody_stopped_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night that is not asked for fails nowhere; 36 hours later the connection would be stale."""
    names: list[str] = []
    monkeypatch.setattr("pipelines.sensors.stopped", lambda instance, now: names)
    with listening() as (heard, webhook, _):
        settings = settings_of(tmp_path, HQ, "[alerts]", f'webhook = "http://127.0.0.1:{webhook}/{TOKEN}"')
        watched = Watched(settings)
        loaded(tmp_path, timedelta(hours=1))
        for names[:] in ([], ["nightly"], ["nightly"], [], ["heartbeat", "nightly"]):
            watched.look()
        assert [each["text"] for each in heard.posted] == [
            "Tollbook\nthe schedule nightly was stopped by somebody, so nothing loads by itself: "
            "start it in Dagster's pages",
            "Tollbook\nthe sensor heartbeat was stopped by somebody: start it in Dagster's pages\n"
            "the schedule nightly was stopped by somebody, so nothing loads by itself: start it in Dagster's pages",
        ]


def test_who_could_not_be_told_is_told_by_the_next_look(tmp_path: Path) -> None:
    loaded(tmp_path, timedelta(days=14))
    with listening() as (heard, webhook, _):
        down = Watched(settings_of(tmp_path, HQ, "[alerts]", f'webhook = "http://127.0.0.1:1/{TOKEN}"'))
        down.look()
        up = Watched(
            settings_of(tmp_path, HQ, "[alerts]", f'webhook = "http://127.0.0.1:{webhook}/{TOKEN}"'), down.cursor
        )
        up.look()
        up.look()
    assert len(heard.posted) == 1


def test_what_was_never_loaded_has_its_time_from_the_first_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(settings_of(tmp_path, HQ))
    assert watched.look() == "every connection has had a good load"
    remembered = json.loads(watched.cursor or "")
    remembered["since"]["hq"] = (datetime.now(UTC) - timedelta(hours=37)).isoformat()
    watched.cursor = json.dumps(remembered)
    assert watched.look().startswith("hq is stale: it was never read")
    assert "hq is stale: it was never read" in caplog.text


def test_a_database_that_cannot_be_read_is_no_good_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tollbook.duckdb").write_bytes(b"not a database at all" * 400)
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    Watched(settings_of(tmp_path, HQ), json.dumps({"since": {"hq": long_ago}})).look()
    assert "hq is stale" in caplog.text


# --- a server that is not well ----------------------------------------------------------------------------------------


def endless(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        client.sendall(b"x" * 65536)


def dripping(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        client.sendall(b"X-A: 1\r\n")
        time.sleep(0.05)


def silent(client: socket.socket) -> None:
    time.sleep(5)


def answering(status: str) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(
        f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:9/{TOKEN}\r\nContent-Length: 0\r\n\r\n".encode()
    )


@contextmanager
def serving(
    behave: Callable[[socket.socket], None], *, speaks_first: bool = False
) -> Iterator[tuple[int, list[bytes]]]:
    """A server that does so with each connection; its port, and what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def attend(client: socket.socket) -> None:
            with client, suppress(OSError):
                if not speaks_first:
                    asked.append(client.recv(65536))
                behave(client)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = door.accept()
                    threading.Thread(target=attend, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield door.getsockname()[1], asked


BAD: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "headers that never end": (dripping, "could not be reached"),
    "silence": (silent, "could not be reached"),
    "a redirect": (answering("302 Found"), "it answered with status 302"),
    "an error": (answering("500 Internal Server Error"), "it answered with status 500"),
    "hanging up": (lambda client: None, "the connection broke"),
    "no HTTP": (lambda client: client.sendall(b"220 mail.example.com ESMTP\r\n"), "could not be reached"),
}


@pytest.mark.parametrize(("behave", "words"), BAD.values(), ids=BAD)
def test_a_server_that_is_not_well_costs_a_moment_and_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    behave: Callable[[socket.socket], None],
    words: str,
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 0.5)
    loaded(tmp_path, timedelta(hours=1))
    with serving(behave) as (port, asked):
        settings = settings_of(tmp_path, f'heartbeat = "http://127.0.0.1:{port}/{TOKEN}"', HQ)
        began = time.monotonic()
        said = send_heartbeat(settings)
        took = time.monotonic() - began
    assert said == "not sent: its address could not be reached"
    assert took < 3
    assert len(asked) == 1
    assert asked[0].startswith(f"GET /{TOKEN} HTTP/1.1".encode())
    assert words in caplog.text
    assert TOKEN not in caplog.text + said


def test_of_an_endless_answer_only_the_status_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 2.0)
    loaded(tmp_path, timedelta(hours=1))
    with serving(endless) as (port, _):
        said = send_heartbeat(settings_of(tmp_path, f'heartbeat = "http://127.0.0.1:{port}/{TOKEN}"', HQ))
    assert said == "sent"
    assert caplog.text == ""


def test_a_mail_server_that_never_comes_to_the_point_keeps_nothing_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 1.0)

    def chatter(client: socket.socket) -> None:
        while True:
            client.sendall(b"220-wait\r\n")
            time.sleep(0.1)

    with listening() as (heard, webhook, _), serving(chatter, speaks_first=True) as (mail, _asked):
        addresses = Alerts(
            webhook=Secret(f"http://127.0.0.1:{webhook}/", "alerts.webhook"),
            email_to=("finance@example.com",),
            email_from="tollbook@example.com",
            smtp_host="127.0.0.1",
            smtp_port=mail,
        )
        began = time.monotonic()
        assert send_alert(addresses, "the load failed")
        assert time.monotonic() - began < 3
    assert [post["text"] for post in heard.posted] == ["the load failed"]
    assert "the mail could not be reached within 1 seconds" in caplog.text


def mailing(port: int, webhook: str | None = None) -> Alerts:
    return Alerts(
        webhook=Secret(webhook, "alerts.webhook") if webhook else None,
        email_to=("finance@example.com",),
        email_from="tollbook@example.com",
        smtp_host="127.0.0.1",
        smtp_port=port,
    )


def test_a_mail_server_that_never_ends_a_reply_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lines would be kept until it has said the last of them, by a thread that nobody waits for any more."""
    monkeypatch.setattr(alerts, "SECONDS", 20.0)
    sent: list[int] = []

    def endless_greeting(client: socket.socket) -> None:
        while True:
            sent.append(client.send(b"220-" + b"x" * 900 + b"\r\n"))

    with serving(endless_greeting, speaks_first=True) as (mail, _):
        began = time.monotonic()
        assert not send_alert(mailing(mail), "the load failed")
        assert time.monotonic() - began < 15, "it is not the time that ends it"
    assert sum(sent) < 16 << 20  # with what lies between the two sockets
    assert "the mail could not be reached" in caplog.text


@pytest.mark.parametrize("reply", [b"2", b"250-a\r\n"])
def test_a_mail_server_that_drips_is_left_by_its_thread_as_well(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    """Each alert left a thread behind in Dagster's daemon, which runs for months."""
    monkeypatch.setattr(alerts, "SECONDS", 0.5)

    def dripping_reply(client: socket.socket) -> None:
        client.sendall(b"220 here\r\n")
        while True:
            client.sendall(reply)
            time.sleep(0.05)

    with serving(dripping_reply, speaks_first=True) as (mail, _):
        assert not send_alert(mailing(mail), "the load failed")
        nobody = [thread for thread in threading.enumerate() if "attempt" in thread.name]
        for thread in nobody:
            thread.join(8)
        assert not any(thread.is_alive() for thread in nobody)


def talk(client: socket.socket, *, then: str) -> None:
    """A mail server that takes a message and says no more: after DATA, or after it has it."""
    client.sendall(b"220 here\r\n")
    for word in (b"EHLO", b"MAIL", b"RCPT", b"DATA"):
        assert client.recv(1024).upper().startswith(word)
        client.sendall(b"354 go on\r\n" if word == b"DATA" else b"250 well\r\n")
    text = b""
    while not text.endswith(b"\r\n.\r\n"):
        text += client.recv(65536)
    if then == "taken":
        client.sendall(b"250 taken\r\n")
    time.sleep(12)


@pytest.mark.parametrize(("then", "arrived"), [("silence", False), ("taken", True)])
def test_a_mail_server_that_hangs_after_the_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, then: str, arrived: bool
) -> None:
    """A message that it took has arrived, and is not sent again because nobody said good-bye."""
    monkeypatch.setattr(alerts, "SECONDS", 4.0)
    with serving(partial(talk, then=then), speaks_first=True) as (mail, _):
        began = time.monotonic()
        assert send_alert(mailing(mail), "the load failed") is arrived
        assert time.monotonic() - began < 9
    assert ("could not be reached" in caplog.text) is not arrived


def continuing(client: socket.socket) -> None:
    while True:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


ODD_WEBHOOKS: dict[str, Callable[[int], str]] = {
    "a label of 300 letters": lambda _: f"https://{'a' * 300}.example.com/{TOKEN}",
    "an empty label": lambda _: f"https://a..example.com/{TOKEN}",
    "no TLS where TLS should be": lambda port: f"https://127.0.0.1:{port}/{TOKEN}",
    "a response that never begins": lambda port: f"http://127.0.0.1:{port}/{TOKEN}",
}


@pytest.mark.parametrize("address", ODD_WEBHOOKS.values(), ids=ODD_WEBHOOKS)
def test_whatever_is_wrong_with_the_webhook_the_mail_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: Callable[[int], str]
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 4.0)
    with listening() as (heard, _, mail), serving(continuing) as (port, _asked):
        began = time.monotonic()
        assert send_alert(mailing(mail, address(port)), "the load failed")
        assert time.monotonic() - began < 9
    assert len(heard.mailed) == 1
    assert "the webhook could not be reached" in caplog.text
    assert TOKEN not in caplog.text


def test_what_is_wrong_with_one_way_does_not_keep_the_other_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is: here something that nobody foresaw, whose text is not shown."""

    def broken(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(alerts, "_mail", broken)
    with listening() as (heard, webhook, _):
        assert send_alert(mailing(25, f"http://127.0.0.1:{webhook}/"), "the load failed")
        assert not send_alert(mailing(25), "the load failed")
    assert len(heard.posted) == 1
    assert "RuntimeError" in caplog.text
    assert TOKEN not in caplog.text


# --- a good night -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lately(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Vendors of the last days, by the machine's own clock."""
    last = yesterday()
    folder = tmp_path_factory.mktemp("lately")
    with world(folder, last - timedelta(days=1), last, scale=0.05, first_date=last - timedelta(days=1)) as made:
        yield made


def yesterday() -> date:
    return datetime.now(LONDON).date() - timedelta(days=1)


def test_the_heartbeat_is_called_after_a_good_night_and_no_other(lately: World, tmp_path: Path) -> None:
    """`tollbook load`, as cron runs it."""
    with listening() as (heard, port, _):
        lately.vendors.write_config(
            tmp_path / "tollbook.toml", heartbeat=f"http://127.0.0.1:{port}/{TOKEN}", first_date=yesterday()
        )
        mine = World(lately.vendors, tmp_path)
        lately.vendors.faults.add(Fault("status", "time4vps", times=None, params={"status": 401}))
        try:
            failed = mine.command("load")
        finally:
            lately.vendors.faults.clear()
        assert (failed.exit_code, heard.fetched) == (1, [])

        part = mine.command("load", "--connection", TIM)
        assert (part.exit_code, heard.fetched) == (0, [])
        assert f"heartbeat: not sent: the last night of {VPS} was not a good one" in part.stderr

        mended = mine.command("load", "--connection", VPS)
        assert (mended.exit_code, heard.fetched) == (0, [f"/{TOKEN}"])
        assert "heartbeat: sent" in mended.stderr
        assert TOKEN not in failed.output + part.output + mended.output


@pytest.mark.parametrize(("tag", "called"), [("SUCCESS", 1), ("FAILURE", 0), (None, 0)])
def test_dagster_calls_it_too_after_what_a_good_load_is_published(
    lately: World, tmp_path: Path, tag: str | None, called: int
) -> None:
    with listening() as (heard, port, _), DagsterInstance.ephemeral() as instance:
        lately.vendors.write_config(
            tmp_path / "tollbook.toml", heartbeat=f"http://127.0.0.1:{port}/{TOKEN}", first_date=yesterday()
        )
        mine = World(lately.vendors, tmp_path)
        mine.read(yesterday(), yesterday())
        definitions = build(mine.settings, Runtime(mine.settings, unwatched))
        ran = definitions.resolve_job_def("publish").execute_in_process(
            instance=instance, tags={LOAD_ENDED: tag} if tag else {}
        )
        context: RunStatusSensorContext = ended_run(instance, ran, "heartbeat")
        definitions.resolve_sensor_def("heartbeat")(context)
    assert heard.fetched == [f"/{TOKEN}"] * called


def test_there_need_not_be_a_heartbeat(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tollbook")
    assert send_heartbeat(settings_of(tmp_path, HQ)) == "there is none"
    assert caplog.text == ""
