"""Dagster's pages as `tollbook dev` serves them: a page of somebody else's gets nothing out of them, whatever it tries.

What lives here: the filter before the pages, asked in its own words, and from a real Chromium that looks at a page of
another origin. What does not: the daemon (``test_daemon``).
"""

import base64
import http.client
import http.server
import json
import shutil
import signal
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.loading import world
from support.serving import DAY, Served, served, wait_for

from pipelines.stopped import stopped

pytestmark = pytest.mark.slow  # Dagster's pages

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SCHEDULES = (
    '{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: '
    '"pipelines.definitions"}) { ... on Schedules { results { name scheduleState { id status } } } } }'
)


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("pages")
    with world(folder, DAY, DAY, scale=0.02, nightly="0 0 29 2 *") as place, served(place) as running:
        yield running


def ask(
    port: int, method: str = "GET", path: str = "/server_info", body: str | None = None, **headers: str
) -> tuple[int, str]:
    """One request with exactly these headers; the status and the body of its response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.putheader("Content-Length", str(len(body or "")))
    connection.endheaders((body or "").encode())
    response = connection.getresponse()
    return response.status, response.read().decode(errors="replace")


def graphql(running: Served, query: str, **headers: str) -> tuple[int, str]:
    body = json.dumps({"query": query})
    return ask(running.port, "POST", "/graphql", body, Content_Type="application/json", **headers)


def schedule(running: Served, **login: str) -> dict[str, str]:
    """The nightly schedule's state: its id and status."""
    status, body = graphql(running, SCHEDULES, **login)
    assert status == 200, body
    [found] = json.loads(body)["data"]["schedulesOrError"]["results"]
    assert found["name"] == "nightly"
    return dict(found["scheduleState"])


def stopping(running: Served, **login: str) -> str:
    """The mutation that stops the nightly schedule."""
    return f'mutation {{ stopRunningSchedule(id: "{schedule(running, **login)["id"]}") {{ __typename }} }}'


OWN = {"Origin": "http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        (OWN, 200),
        ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),  # as through a tunnel
        # A link to the pages, as in an alert.
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://127.0.0.1:{port}.example.com"}, 403),
        ({"Origin": "http://user@127.0.0.1:{port}"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Host": "rebound.example.com:{port}"}, 400),
        ({"Host": "rebound.example.com:{port}", "Origin": "http://rebound.example.com:{port}"}, 400),
        ({"Host": "127.0.0.1.example.com"}, 400),
        ({"Host": ""}, 400),
    ],
)
def test_only_our_own_pages_are_answered(dagster: Served, headers: dict[str, str], status: int) -> None:
    asked = {name: value.format(port=dagster.port) for name, value in headers.items()}
    assert ask(dagster.port, **asked)[0] == status


def test_a_mutation_is_no_address(dagster: Served) -> None:
    """An image can have any address, and a browser that tells nothing of where it stands has no other sign."""
    query = urllib.parse.urlencode({"query": stopping(dagster)})
    for method in ("GET", "HEAD"):
        assert ask(dagster.port, method, f"/graphql?{query}")[0] == 403
    assert schedule(dagster)["status"] == "RUNNING"


class Elsewhere:
    """A server of another origin, whose page tries everything; what the page reports back."""

    def __init__(self, page: str) -> None:
        self.reported: list[str] = []
        elsewhere = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"" if self.path.startswith("/report/") else page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(body)
                if self.path.startswith("/report/"):
                    elsewhere.reported.append(self.path.removeprefix("/report/"))

            def log_message(self, *words: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    def __enter__(self) -> "Elsewhere":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


ATTACK = """<!doctype html><title>elsewhere</title><script>
const target = "TARGET", mutation = MUTATION, report = (word) => fetch("/report/" + word);
const address = target + "/graphql?query=" + encodeURIComponent(mutation);
async function attack() {
  const image = new Image(); image.src = address;
  await new Promise((done) => { image.onload = image.onerror = done; });
  for (const [type, url, body] of [
    ["text/plain", address, ""],
    ["text/plain", target + "/graphql", JSON.stringify({query: mutation})],
    ["application/x-www-form-urlencoded", address, "a=b"],
  ]) {
    await fetch(url, {method: "POST", mode: "no-cors", headers: {"Content-Type": type}, body}).catch(() => {});
  }
  await fetch(target + "/server_info").then((r) => r.ok && report("read"), () => report("not-read"));
  await new Promise((done) => {
    const socket = new WebSocket(target.replace("http", "ws") + "/graphql", "graphql-ws");
    socket.onopen = () => report("socket-opened").then(done);
    socket.onerror = () => report("socket-refused").then(done);
  });
  const frame = document.createElement("iframe"); frame.src = address; document.body.append(frame);
  await new Promise((done) => { frame.onload = done; });
  await report("done");
}
addEventListener("load", attack);
</script><body></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install it, as with `apt-get install chromium`")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "rebound.example.com"])
def test_a_page_of_another_origin_can_do_nothing(dagster: Served, tmp_path: Path, name: str) -> None:
    """As the same site on another port, as another site, and under a name that was made to lead here."""
    target = f"http://{name}:{dagster.port}"
    page = ATTACK.replace("TARGET", target).replace("MUTATION", json.dumps(stopping(dagster)))
    with Elsewhere(page) as elsewhere, chromium(f"http://127.0.0.1:{elsewhere.port}/", tmp_path):
        wait_for(lambda: "done" in elsewhere.reported, "the attack to end")
    assert sorted(elsewhere.reported) == ["done", "not-read", "socket-refused"]
    assert schedule(dagster)["status"] == "RUNNING"
    assert dagster.instance.get_runs() == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install it, as with `apt-get install chromium`")
def test_what_the_pages_and_the_daemon_write_is_the_owners(dagster: Served) -> None:
    """D15."""
    home = dagster.place.data_dir / "dagster"
    wait_for((home / "schedules" / "schedules.db").exists, "the daemon's records")
    open_to_others = [path for path in (home, *home.rglob("*")) if path.lstat().st_mode & 0o077]
    assert open_to_others == []


def test_a_schedule_that_somebody_stopped_is_said(dagster: Served) -> None:
    """As long as the daemon is in use; who loads by cron has none."""
    wait_for(lambda: dagster.instance.get_daemon_heartbeats().get("SCHEDULER"), "the daemon")

    def status() -> dict[str, Any]:
        return dict(json.loads(dagster.place.command("status", "--json").stdout))

    assert (status()["stopped"], status()["warnings"]) == ([], [])
    assert graphql(dagster, stopping(dagster))[0] == 200
    try:
        assert status()["stopped"] == ["nightly"]
        assert status()["warnings"] == [
            "warning: the schedule nightly was stopped by somebody, so nothing loads by itself: "
            "start it in Dagster's pages"
        ]
        assert stopped(dagster.instance, datetime.now(UTC) + timedelta(hours=23)) == ["nightly"]
        assert stopped(dagster.instance, datetime.now(UTC) + timedelta(hours=25)) == []
    finally:
        where = 'repositoryName: "__repository__", repositoryLocationName: "pipelines.definitions"'
        start = f'mutation {{ startSchedule(scheduleSelector: {{{where}, scheduleName: "nightly"}}) {{ __typename }} }}'
        assert "ScheduleStateResult" in graphql(dagster, start)[1]
    assert status()["stopped"] == []


def test_the_pages_themselves_work(dagster: Served, tmp_path: Path) -> None:
    """They ask by POST from their own origin."""
    assert CHROMIUM is not None
    address = f"http://127.0.0.1:{dagster.port}/automation"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=60000", "--dump-dom"]
    shown = subprocess.run([*command, address], capture_output=True, text=True, timeout=120, check=True).stdout
    assert "nightly" in shown


def test_with_a_password_and_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGES", "öffne dich")
    options = ("--password", "env:PAGES", "--read-only", "--allow-host", "tollbook.example.com")
    login = {"Authorization": "Basic " + base64.b64encode("tollbook:öffne dich".encode()).decode()}
    wrong = {"Authorization": "Basic " + base64.b64encode(b"tollbook:open").decode()}
    with world(tmp_path, DAY, DAY, scale=0.02, nightly="0 0 29 2 *") as place, served(place, *options) as running:
        assert ask(running.port)[0] == 401
        assert ask(running.port, **wrong)[0] == 401
        assert ask(running.port, Authorization=login["Authorization"].replace("Basic", "Bearer"))[0] == 401
        assert ask(running.port, **login)[0] == 200
        front = {"Host": "tollbook.example.com", "Origin": "https://tollbook.example.com", **login}
        assert ask(running.port, **front)[0] == 200
        status, body = graphql(running, stopping(running, **login), **login)
        assert (status, "UnauthorizedError" in body) == (200, True)
        assert schedule(running, **login)["status"] == "RUNNING"
        assert "öffne dich" not in (place.folder / "dev.log").read_text()


FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--host-resolver-rules=MAP rebound.example.com 127.0.0.1",
]  # fmt: skip


class chromium:
    """A Chromium that looks at an address until the block ends."""

    def __init__(self, address: str, folder: Path) -> None:
        assert CHROMIUM is not None
        self.command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", address]

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_the_daemon_ends_with_the_pages(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Also where they are killed: the next ones would start another daemon beside it."""
    with world(tmp_path, DAY, DAY, scale=0.02, nightly="0 0 29 2 *") as place, served(place) as running:
        dev = running.process
        children = Path(f"/proc/{dev.pid}/task/{dev.pid}/children")

        def daemons() -> list[Path]:
            found = [Path(f"/proc/{pid}") for pid in children.read_text().split()]
            return [each for each in found if b"dagster._daemon" in (each / "cmdline").read_bytes()]

        [daemon] = wait_for(daemons, "the daemon")
        dev.send_signal(number)
        assert dev.wait(120) == code
        wait_for(lambda: not daemon.exists(), "the end of the daemon")
        assert "Traceback" not in (tmp_path / "dev.log").read_text()
