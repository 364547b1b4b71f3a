"""The report's page in a real browser: it renders, it prints, it fetches nothing and says nothing on the console.

The screenshots are kept in the test run's temporary folder.
"""

import http.server
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support.report_month import MONTH, SETTINGS, golden_month, publish

from warehouse.reports import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = [
    pytest.mark.slow,  # a browser
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install it, as with `apt-get install chromium`"),
]


class Served:
    """The page on loopback, and every path that was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                asked.append(self.path)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}/tollbook-2026-10.html"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    write_report(publish(folder / "tollbook.duckdb", golden_month()), MONTH, folder / "out", settings=SETTINGS)
    page = Served(folder / "out")
    yield page
    page.server.shutdown()
    page.server.server_close()


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Chromium with a profile of its own; its console goes to standard error."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=True)


def test_the_page_renders_without_a_word_on_the_console_or_a_request(served: Served, tmp_path: Path) -> None:
    served.asked.clear()
    response = browse(tmp_path, "--dump-dom", served.address)
    assert "CONSOLE" not in response.stderr
    assert "34.71 GBP" in response.stdout
    assert "<title>Telephone and hosting cost, October 2026</title>" in response.stdout, (
        "the planted script did not run"
    )
    assert response.stdout.count("<svg") == 3
    assert served.asked == ["/tollbook-2026-10.html"]


@pytest.mark.parametrize(("name", "width", "height"), [("desktop", 1366, 900), ("telephone", 500, 900)])
def test_a_picture_of_the_page_is_taken(served: Served, tmp_path: Path, name: str, width: int, height: int) -> None:
    browse(tmp_path, f"--screenshot={name}.png", f"--window-size={width},{height}", served.address)
    picture = (tmp_path / f"{name}.png").read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (width, height)
    assert len(picture) > 20_000, "not an empty page"


def test_the_page_is_no_wider_than_a_telephone(served: Served, tmp_path: Path) -> None:
    probe = tmp_path / "probe.html"
    source = (served.folder / "tollbook-2026-10.html").read_text(encoding="utf-8")
    measured = source.replace(
        "default-src 'none'; style-src", "default-src 'none'; script-src 'unsafe-inline'; style-src"
    )
    measured = measured.replace(
        "</body>", "<script>document.title = document.documentElement.scrollWidth</script></body>"
    )
    probe.write_text(measured, encoding="utf-8")
    response = browse(tmp_path, "--dump-dom", "--window-size=500,900", probe.as_uri())
    width = int(response.stdout.split("<title>")[1].split("</title>")[0])
    assert width <= 500


def test_the_page_prints_to_pdf(served: Served, tmp_path: Path) -> None:
    browse(tmp_path, "--no-pdf-header-footer", "--print-to-pdf=page.pdf", served.address)
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 3
