"""Whatever stands where a file of somebody's should: it is read if it is one, else refused, at once."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import main
from warehouse.reference import ACCOUNTS, ALLOCATION, BUDGETS, COST_CENTRES, FX_RATES

CONFIG = """
[tollbook]
pseudonym_key = "file:pseudonym"
heartbeat = "file:heartbeat"

[alerts]
webhook = "file:webhook"

[[connections]]
name = "hq"
vendor = "pbxware"
url = "https://127.0.0.1:9/"
api_key = "file:key"
ca_bundle = "ca.pem"
"""
SECRETS = {
    "key": "connections[hq].api_key",
    "pseudonym": "pseudonym_key",
    "heartbeat": "heartbeat",
    "webhook": "alerts.webhook",
}
FINANCES = [f"reference/{name}" for name in (COST_CENTRES, FX_RATES, BUDGETS, ALLOCATION, ACCOUNTS)]
FILES = ["tollbook.toml", *SECRETS, "ca.pem", *FINANCES]


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Fail what would hang for ever."""

    def too_late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def socket_at(path: Path) -> None:
    """A socket of a process; its name is short wherever the folder of the test is."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def ten_gigabytes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, "is not a regular file"),
    "a pipe": (os.mkfifo, "is not a regular file"),
    "a socket": (socket_at, "is not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "a file without an end": (ten_gigabytes, "is larger than "),
    "a name in a circle": (lambda path: path.symlink_to(path.name), "ymbolic link"),
}


def checked(folder: Path) -> tuple[int, str]:
    told = CliRunner().invoke(main, ["check"], env={"TOLLBOOK_CONFIG": str(folder / "tollbook.toml")})
    return told.exit_code, told.output


def installed(folder: Path) -> None:
    """A configuration of which every file is there."""
    (folder / "reference").mkdir()
    for name in SECRETS:
        (folder / name).write_text("https://hooks.example.com/0123456789")
        (folder / name).chmod(0o600)
    (folder / "ca.pem").write_text("no certificate, but a file")
    (folder / "tollbook.toml").write_text(CONFIG)


@pytest.mark.parametrize(("make", "words"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_refused_in_one_sentence(
    tmp_path: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    installed(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    code, said = checked(tmp_path)
    # A circle of finance's is what a wrong mode is: a matter of the disk.
    assert code == (1 if name in FINANCES and "link" in words else 2), said
    (line,) = said.splitlines()
    assert words in line
    assert SECRETS.get(name, "ca_bundle" if name == "ca.pem" else Path(name).name) in line


def test_a_file_of_a_million_lines_is_refused_with_the_limit(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "reference" / FX_RATES).write_text("date,currency,rate\n" + "2026-10-01,EUR,0.86\n" * 1_000_000)
    code, said = checked(tmp_path)
    assert code == 2
    assert said.count("\n") == 1
    assert f"{FX_RATES} has more than 100,000 lines" in said


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    """As Kubernetes mounts secrets, and people keep their configuration."""
    installed(tmp_path)
    (tmp_path / "reference" / FX_RATES).write_text("date,currency,rate\n2026-10-01,EUR,0.86\n")
    for name in ("tollbook.toml", *SECRETS, "ca.pem", f"reference/{FX_RATES}"):
        path = tmp_path / name
        path.rename(tmp_path / f"{path.name}.elsewhere")
        path.symlink_to(tmp_path / f"{path.name}.elsewhere")
    code, said = checked(tmp_path)
    assert code == 1
    assert "ConfigError: hq: ca_bundle is not a readable file of PEM certificates" in said, "all others were read"
