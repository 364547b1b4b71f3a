"""Whose data it is, and how it is read: what a changed configuration may do to what was loaded, and its renaming."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from support.killing import Cut, needs_watching, nursery
from support.loading import World, hasty_client, published, world

from pipelines.demo.company import PBX, SIP
from pipelines.settings import load_settings
from tollbook_errors import ConfigError
from warehouse.accounts import Account
from warehouse.identity import begin
from warehouse.lake import Lake
from warehouse.schema import TABLES

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 9, 30)
DAYS = ("--from", str(DAY), "--to", str(DAY))
MONTH = ("--month", "2026-09")
FIGURES = """
SELECT (SELECT count(*) FROM core.cdr), (SELECT sum(cost) FROM core.cdr), (SELECT count(*) FROM core.call),
    (SELECT sum(cost) FROM mart.cost_monthly), (SELECT count(*) FROM audit.restatement),
    (SELECT count(*) FROM audit.load WHERE status <> 'failed'), (SELECT sum(calls) FROM mart.usage_daily)
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A PBX of which a day was loaded twice, with a correction, and whose month is closed."""
    folder = tmp_path_factory.mktemp("identity")
    with world(folder, DAY, DAY, scale=0.1, only=(PBX,)) as place:
        place.read(DAY, DAY)
        place.vendors.add_late_rows(DAY, 2)
        place.read(DAY, DAY)
        closed = place.command("close", *MONTH, "--anyway")
        assert closed.exit_code == 0, closed.output
        shutil.copytree(place.data_dir, folder / "kept")
        shutil.copy(place.config, folder / "kept.toml")
        shutil.copytree(folder / "reference", folder / "kept-reference")
        yield place


@pytest.fixture
def place(loaded: World) -> World:
    """As it was loaded, whatever another test did to it."""
    shutil.rmtree(loaded.data_dir)
    shutil.copytree(loaded.folder / "kept", loaded.data_dir)
    shutil.copy(loaded.folder / "kept.toml", loaded.config)
    shutil.copytree(loaded.folder / "kept-reference", loaded.folder / "reference", dirs_exist_ok=True)
    return loaded


def configure(place: World, was: str, now: str) -> None:
    text = place.config.read_text()
    assert was in text
    place.config.write_text(text.replace(was, now))


def rename(place: World, name: str) -> None:
    """In the configuration and finance's files only."""
    configure(place, f'name = "{PBX}"', f'name = "{name}"')
    for path in (place.folder / "reference").iterdir():
        path.write_text(re.sub(rf"\b{PBX}\b", name, path.read_text()))


def refused(place: World, *arguments: str) -> str:
    """What a command says that ends as a wrong configuration does, and asks no vendor."""
    asked = len(place.vendors.requests)
    ended = place.command(*arguments)
    assert ended.exit_code == 2, ended.output
    assert len(place.vendors.requests) == asked
    return re.sub(r"\s+", " ", ended.output)


# --- another name -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exchange", PBX.upper()])
def test_a_renamed_connection_is_refused_by_every_command(place: World, name: str) -> None:
    """A03: loaded under both names, every call would count twice, and all would be reconciled."""
    rename(place, name)
    for command in (("load", *DAYS), ("check",), ("rebuild",), ("report", *MONTH), ("close", *MONTH, "--reopen")):
        assert f"tollbook rename-connection {PBX} {name}" in refused(place, *command), command


@pytest.mark.parametrize("name", ["exchange", PBX.upper()])
def test_renaming_keeps_every_figure(place: World, name: str) -> None:
    before = place.query(FIGURES)
    moved = place.query("SELECT count(*), sum(abs(moved)) FROM mart.month_movement")
    rename(place, name)
    ended = place.command("rename-connection", PBX, name)
    assert ended.exit_code == 0, ended.output
    assert place.query(FIGURES) == before
    assert place.query("SELECT count(*), sum(abs(moved)) FROM mart.month_movement") == moved
    for table in TABLES:
        if "connection" in table.column_names:
            assert place.query(f"SELECT count(*) FROM {table.full_name} WHERE connection = '{PBX}'") == [(0,)], table
    again = place.command("load", *DAYS)
    assert again.exit_code == 0, again.output
    assert "no longer in the configuration" not in again.output
    assert place.query(FIGURES)[0][:5] == before[0][:5]
    assert sorted(path.name for path in (place.data_dir / "raw").iterdir()) == [name]
    for root in (place.data_dir / "core", place.data_dir / "state" / "core"):
        assert [path for path in root.rglob("*") if path.is_file() and PBX in path.parts] == []


def test_the_old_name_is_free_for_another_account(place: World) -> None:
    """What was loaded moves aside for a new exchange that takes the name over."""
    rename(place, "before")
    assert place.command("rename-connection", PBX, "before").exit_code == 0
    text = place.config.read_text()
    place.config.write_text(text.replace('name = "before"', f'name = "{PBX}"').replace("API_KEY", "OTHER_KEY"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PBXWARE_OTHER_KEY", "another-key-of-another-exchange")
        held = place.command("check")
    assert held.exit_code == 1, held.output  # the key is wrong; nothing is wrong with the name
    assert "note: before is no longer in the configuration; its data still counts" in held.output


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("nobody", PBX, "nothing was loaded under the name nobody"),
        (PBX, "exchange", "no connection of that name"),
        (PBX, "sip", f"connections[{PBX}] is still in"),
    ],
)
def test_what_cannot_be_renamed_is_refused(place: World, old: str, new: str, what: str) -> None:
    with place.config.open("a") as file:
        file.write('\n[[connections]]\nname = "sip"\nvendor = "sipcentric"\nusername = "env:U"\npassword = "env:P"\n')
    assert what in refused(place, "rename-connection", old, new)


def test_another_vendors_data_takes_no_name(place: World) -> None:
    text = place.config.read_text()
    head = text[: text.index("[[connections]]")]
    place.config.write_text(
        f'{head}[[connections]]\nname = "sip"\nvendor = "sipcentric"\nusername = "env:U"\npassword = "env:P"\n'
    )
    assert f"what was loaded as {PBX} is of pbxware" in refused(place, "rename-connection", PBX, "sip")


def test_a_name_under_which_something_was_loaded_is_not_taken(place: World) -> None:
    shutil.copytree(place.data_dir / "raw" / PBX, place.data_dir / "raw" / "exchange")
    rename(place, "exchange")
    said = refused(place, "rename-connection", PBX, "exchange")
    assert "move raw/exchange out of the data directory, run tollbook rebuild" in said
    shutil.move(place.data_dir / "raw" / "exchange", place.folder / "moved")
    shutil.rmtree(place.folder / "moved")
    assert place.command("rename-connection", PBX, "exchange").exit_code == 0


def test_a_renaming_that_was_begun_is_finished_by_the_next_load(place: World) -> None:
    """Killed right after it said so: nothing has its new name yet."""
    before = place.query(FIGURES)
    begin(Lake(place.data_dir), (PBX, "exchange"))
    assert "a rebuild was interrupted" in refused(place, "check")
    rename(place, "exchange")
    ended = place.command("load", *DAYS)
    assert ended.exit_code == 0, ended.output
    assert place.query(FIGURES)[0][:5] == before[0][:5]
    assert place.query("SELECT DISTINCT connection FROM core.cdr") == [("exchange",)]


def test_with_the_old_name_back_it_is_finished_first_and_then_refused(place: World) -> None:
    begin(Lake(place.data_dir), (PBX, "exchange"))
    before = place.query(FIGURES)
    assert f"tollbook rename-connection exchange {PBX}" in refused(place, "load", *DAYS)
    assert place.command("rename-connection", "exchange", PBX).exit_code == 0
    assert place.query(FIGURES) == before


@needs_watching
def test_a_renaming_that_is_killed_is_finished_by_the_next_command(place: World) -> None:
    """At some of its own steps, and in the rebuild: readers have the old figures or the new ones meanwhile."""
    rename_command = ("rename-connection", PBX, "exchange")
    before = published(place.public)
    rename(place, "exchange")
    shutil.copytree(place.data_dir, place.folder / "as-it-was")
    secrets = place.vendors.secrets
    with nursery() as children:
        whole = children.command(place.config, *rename_command, cut=Cut(), secrets=secrets)
        assert whole.code == 0, whole.output
        wanted = published(place.public)
        own = [at for at, (_, path) in enumerate(whole.calls) if not path.startswith(("core", "private", "state/core"))]
        moved = next(at for at, (name, path) in enumerate(whole.calls) if name.startswith("rename") and "raw" in path)
        steps = [own[0], moved, moved + 1, *own[10 :: len(own) // 4], len(whole.calls) // 2]
        for number, at in enumerate(steps):
            shutil.rmtree(place.data_dir)
            shutil.copytree(place.folder / "as-it-was", place.data_dir)
            ended = children.command(place.config, *rename_command, cut=Cut(at), secrets=secrets)
            assert ended.cut, (at, ended.output)
            assert published(place.public) in (before, wanted), whole.calls[at]
            command = rename_command if at == own[0] or number % 2 else ("load", *DAYS)
            again = children.command(place.config, *command, secrets=secrets)
            assert again.code == 0, (whole.calls[at], again.output)
            assert published(place.public) == wanted, whole.calls[at]


# --- another account --------------------------------------------------------------------------------------------------


def test_another_vendor_under_an_old_name_is_refused(place: World) -> None:
    """A04."""
    text = place.config.read_text()
    head = text[: text.index("[[connections]]")]
    place.config.write_text(
        f'{head}[[connections]]\nname = "{PBX}"\nvendor = "sipcentric"\nusername = "env:U"\npassword = "env:P"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("U", "somebody")
        patch.setenv("P", "hunter2")
        for command in (("load", *DAYS), ("check",), ("rebuild",), ("report", *MONTH)):
            said = refused(place, *command)
            assert "is of sipcentric, but what was loaded under this name is of pbxware" in said
            assert "give it a name of its own" in said


def test_another_host_is_refused_until_somebody_says_that_it_moved(place: World) -> None:
    """A04: another exchange, or the same one that has moved; only a person knows."""
    configure(place, "http://127.0.0.1", "http://127.0.0.2")
    said = refused(place, "load", *DAYS)
    assert f"connections[{PBX}] is at 127.0.0.2, but what was loaded under this name came from" in said
    assert f"tollbook rename-connection {PBX} {PBX}" in said
    before = published(place.public)
    moved = place.command("rename-connection", PBX, PBX)
    assert moved.exit_code == 0, moved.output
    assert place.command("rebuild").exit_code == 0
    assert published(place.public) == before
    configure(place, "http://127.0.0.2", "http://127.0.0.1")
    assert "is at this machine" in refused(place, "rebuild")


def test_another_name_of_this_machine_another_port_and_another_key_are_no_other_account(place: World) -> None:
    """A key is renewed, and a tunnel or the demo has another port each time: that stops nothing."""
    text = re.sub(r"http://127\.0\.0\.1:\d+", "http://localhost:9", place.config.read_text())
    place.config.write_text(text.replace("API_KEY", "NEW_KEY"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PBXWARE_NEW_KEY", "renewed-key")
        ended = place.command("rebuild")
        assert ended.exit_code == 0, ended.output
        assert place.command("report", *MONTH).exit_code == 0


def test_no_key_is_written_down(place: World) -> None:
    key = place.vendors.secrets["PBXWARE_API_KEY"]
    record = (place.data_dir / "state" / "connections" / f"{PBX}.json").read_text()
    assert key not in record
    assert json.loads(record)["content"]["account"]["login"]
    assert json.loads(record)["content"]["format"] == 1


def test_what_was_loaded_before_anything_was_recorded_is_held_from_then_on(place: World) -> None:
    shutil.rmtree(place.data_dir / "state" / "connections")
    assert place.command("load", *DAYS).exit_code == 0
    configure(place, 'currency = "EUR"', 'currency = "USD"')
    assert "tollbook rebuild" in refused(place, "load", *DAYS)


def test_a_mistyped_address_that_nothing_was_loaded_from_can_be_corrected(
    place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.resources.Client", hasty_client)
    shutil.rmtree(place.data_dir)
    configure(place, "http://127.0.0.1", "http://127.0.0.2")
    place.read(DAY, DAY)
    shutil.rmtree(place.data_dir / "raw", ignore_errors=True)
    configure(place, "http://127.0.0.2", "http://127.0.0.1")
    assert place.command("load", *DAYS).exit_code == 0


# --- two names --------------------------------------------------------------------------------------------------------

TWO = """
[[connections]]
name = "hq"
vendor = "pbxware"
url = "https://pbx.example.com/"
api_key = "env:FIRST"

[[connections]]
name = "second"
vendor = "pbxware"
url = "https://PBX.example.com:443/"
api_key = "env:SECOND"
"""


def test_one_account_under_two_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A03: by the configuration where it says so, else once the secrets are read."""
    path = tmp_path / "tollbook.toml"
    path.write_text(TWO.replace("SECOND", "FIRST"))
    with pytest.raises(ConfigError, match=r"connections\[hq\] and connections\[second\] are one account"):
        load_settings(path)
    path.write_text(TWO)
    monkeypatch.setenv("FIRST", "one-key")
    monkeypatch.setenv("SECOND", "another-key")
    load_settings(path).check_secrets()
    monkeypatch.setenv("SECOND", "one-key")
    with pytest.raises(ConfigError, match="one account") as caught:
        load_settings(path).check_secrets()
    assert "one-key" not in str(caught.value)


def test_the_same_records_under_two_names_are_refused_once_they_are_loaded(place: World) -> None:
    """A03: another key and another port, so that nothing tells before; then its tenants' records do."""
    text = place.config.read_text()
    second = text[text.index("[[connections]]") :].replace(f'"{PBX}"', '"second"').replace("API_KEY", "SECOND_KEY")
    place.config.write_text(text + "\n" + re.sub(r"http://[^/]+/", "https://pbx2.invalid/", second))
    shutil.copytree(place.data_dir / "raw" / PBX, place.data_dir / "raw" / "second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PBXWARE_SECOND_KEY", "another-key")
        assert place.command("rebuild").exit_code == 0
        for command in (("load", *DAYS), ("check",)):
            said = refused(place, *command)
            assert f"{PBX} and second hold the same records" in said
            assert "move the folder of the other in raw out of the data directory" in said
    place.config.write_text(text)
    shutil.rmtree(place.data_dir / "raw" / "second")
    before = place.query("SELECT count(*) FROM core.cdr")[0][0]
    assert place.command("rebuild").exit_code == 0
    assert place.query("SELECT count(*), count(DISTINCT connection) FROM core.cdr") == [(before / 2, 1)]
    assert place.command("load", *DAYS).exit_code == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("https://pbx.example.com/", "k", ()), ("https://pbx.example.com:8443/", "k", ()), True),
        (("https://pbx.example.com/", "k", ()), ("https://PBX.example.com./api", "k", ("2",)), True),
        (("https://pbx.example.com/", "k", ("2", "7")), ("https://pbx.example.com/", "k", ("7",)), True),
        (("https://pbx.example.com/", "k", ("2",)), ("https://pbx.example.com/", "k", ("7",)), False),
        (("https://pbx.example.com/", "k", ()), ("https://pbx.example.com/", "m", ()), False),
        (("https://pbx.example.com/", None, ()), ("https://pbx.example.com/", None, ()), False),
        (("https://pbx.example.com/", "k", ()), ("https://pbx.example.org/", "k", ()), False),
        (("http://127.0.0.1:9001/", "k", ()), ("http://localhost:9001", "k", ()), True),
        (("http://127.0.0.1:9001/", "k", ()), ("http://127.0.0.1:9002/", "k", ()), False),
        (("http://127.0.0.1:9001/hq/", "k", ()), ("http://127.0.0.1:9001/branch/", "k", ()), False),
    ],
)
def test_when_two_connections_are_one_account(
    one: tuple[str, str, tuple[str, ...]], other: tuple[str, str, tuple[str, ...]], same: bool
) -> None:
    a, b = (Account.at("pbxware", *each) for each in (one, other))
    assert a.is_certainly(b) is b.is_certainly(a) is same


# --- read otherwise ---------------------------------------------------------------------------------------------------

CHANGES = {
    "currency": ('currency = "EUR"', 'currency = "USD"'),
    "region": ('currency = "EUR"', 'currency = "EUR"\nregion = "FR"'),
    "outside_line": ('currency = "EUR"', 'currency = "EUR"\noutside_line = "0"'),
    "timezone": ('currency = "EUR"', 'currency = "EUR"\ntimezone = "Europe/Paris"'),
}


@pytest.mark.parametrize("key", CHANGES)
def test_what_would_be_read_otherwise_is_refused_until_a_rebuild(place: World, key: str) -> None:
    """A04."""
    configure(place, *CHANGES[key])
    said = refused(place, "load", *DAYS)
    assert f"connections[{PBX}].{key} is" in said
    assert "run: tollbook rebuild" in said


def test_another_currency_is_restated_with_before_and_after(place: World) -> None:
    """A04: every record leaves the sum of the one currency and comes into that of the other, so the movements add up.

    One of the two tenants says its own currency; the other's is the configuration's.
    """
    accounts = "SELECT account_id, currency, count(*), sum(cost) FROM core.cdr GROUP BY ALL ORDER BY ALL"
    before = {account: (rows, cost) for account, _, rows, cost in place.query(accounts)}
    (known,) = place.query("SELECT count(*) FROM audit.restatement")
    configure(place, 'currency = "EUR"', 'currency = "USD"')
    for command in (("check",), ("report", *MONTH)):
        assert "run: tollbook rebuild" in refused(place, *command)
    assert place.command("rebuild").exit_code == 0
    now = {account: (rows, cost) for account, currency, rows, cost in place.query(accounts) if currency == "USD"}
    (account,) = now
    rows, cost = before[account]
    assert now[account] == (rows, cost)
    restated = "FROM audit.restatement WHERE contains(columns_changed, 'currency')"
    assert place.query(f"SELECT currency, count(*), sum(cost_effect) {restated} GROUP BY ALL ORDER BY ALL") == [
        ("EUR", rows, -cost),
        ("USD", rows, cost),
    ]
    assert place.query(f"SELECT DISTINCT before->>'currency', after->>'currency' {restated}") == [("EUR", "USD")]
    assert place.query("SELECT count(*) FROM audit.restatement") == [(known[0] + 2 * rows,)]
    moved = place.query("SELECT currency, sum(moved) FROM mart.month_movement WHERE moved <> 0 GROUP BY ALL ORDER BY 1")
    assert moved == [("EUR", -cost), ("USD", cost)]
    why = "SELECT currency, sum(cost_effect) FROM audit.restatement_since_close GROUP BY ALL ORDER BY ALL"
    assert place.query(why) == moved
    # The ways in which answers were read are on record, so core is a function of what was landed as before.
    first = published(place.public)
    assert place.command("rebuild").exit_code == 0
    assert published(place.public) == first
    place.vendors.add_late_rows(DAY, 1, "pbxware", account)
    place.read(DAY, DAY)
    assert place.query("SELECT count(*) FROM audit.restatement WHERE currency = 'USD' AND kind = 'new'") == [(1,)]
    night = published(place.public)
    assert place.command("rebuild").exit_code == 0
    assert published(place.public) == night


# --- no longer configured ---------------------------------------------------------------------------------------------


def test_data_of_a_connection_that_is_gone_is_said(place: World) -> None:
    """A03: it counts, so load, status and report say so."""
    text = place.config.read_text()
    head = text[: text.index("[[connections]]")]
    place.config.write_text(
        f'{head}[[connections]]\nname = "{SIP}"\nvendor = "sipcentric"\nurl = "http://127.0.0.1:9/"\n'
        'username = "env:SIPCENTRIC_USERNAME"\npassword = "env:SIPCENTRIC_PASSWORD"\n'
    )
    gone = f"{PBX} is no longer in the configuration; its data still counts"
    assert gone in place.command("status").output
    assert gone in place.command("check").output
    report = place.command("report", *MONTH)
    assert f"NOT CONFIGURED: {PBX}: no longer in the configuration" in report.output
