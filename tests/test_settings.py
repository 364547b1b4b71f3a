"""The configuration: what it gives, what it refuses, and that no message repeats what might be a secret."""

import os
import pickle
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.settings import VENDORS, Settings, Tollbook, load_settings
from tollbook_errors import ConfigError
from warehouse.fraud import FraudRules

PLANTED = "Hunter2SecretPlanted"

PBX = """
[[connections]]
name = "hq"
vendor = "pbxware"
url = "https://pbx.example.com/"
api_key = "env:PBXWARE_API_KEY"
"""

FOUR = """
[tollbook]
data_dir = "data"
timezone = "Europe/London"
reporting_currency = "GBP"
lookback_days = 3
reference_dir = "reference"

[[connections]]
name = "hq"
vendor = "pbxware"
url = "https://pbx.example.com/"
api_key = "env:PBXWARE_API_KEY"
currency = "EUR"
tenants = ["2", "7"]

[[connections]]
name = "sip"
vendor = "sipcentric"
username = "env:SIPCENTRIC_USERNAME"
password = "env:SIPCENTRIC_PASSWORD"

[[connections]]
name = "tim"
vendor = "tim4biz"
username = "env:TIM_USERNAME"
password = "file:secrets/tim"
reconciles = ["hq"]
fields = { extension = "Ext", cost = "Charge" }
tolerance_seconds = 2
tolerance_percent = 0.5

[[connections]]
name = "vps"
vendor = "time4vps"
username = "env:VPS_USERNAME"
password = "env:VPS_PASSWORD"
currency = "USD"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "tollbook.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Settings:
    return load_settings(write(folder, text))


def refused(folder: Path, text: str) -> str:
    """The message with which a configuration is refused; it names the file and repeats nothing planted."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert str(path) in message
    assert PLANTED.lower() not in message.lower()
    return message


# A wrong key and the words with which it is refused, by the table that it is written in.
ERRORS = {
    "tollbook": [
        ("timezone = 5", "timezone: expected an IANA time zone"),
        (
            'timezone = "Europe/Londn"',
            'timezone: expected an IANA time zone, such as "Europe/London" (did you mean Europe/London?)',
        ),
        ('timezone = "Europe"', "timezone: expected an IANA time zone"),
        ('timezone = "../../etc/passwd"', "timezone: expected an IANA time zone"),
        ('timezone = ""', "timezone: expected an IANA time zone"),
        ('reporting_currency = "gbp"', "reporting_currency: expected an ISO 4217 currency"),
        ('reporting_currency = "POUND"', "reporting_currency: expected an ISO 4217 currency"),
        ("long_call_hours = 0", "long_call_hours: expected a whole number from 1 to 720"),
        ("long_call_hours = 721", "long_call_hours: expected a whole number from 1 to 720"),
        ("long_call_hours = 12.0", "long_call_hours: expected a whole number from 1 to 720"),
        ("lookback_days = -1", "lookback_days: expected a whole number from 0 to 60"),
        ("retention_days = 92", "retention_days: expected a whole number from 93 to 36500"),
        ("retention_days = true", "retention_days: expected a whole number from 93 to 36500"),
        ("lookback_days = 61", "lookback_days: expected a whole number from 0 to 60"),
        ("lookback_days = true", "lookback_days: expected a whole number from 0 to 60"),
        ("lookback_days = 3.0", "lookback_days: expected a whole number from 0 to 60"),
        ('lookback_days = "3"', "lookback_days: expected a whole number from 0 to 60"),
        ("data_dir = 1", "data_dir: expected a text"),
        ('data_dir = ""', "data_dir: expected a text"),
        ('data_dir = "a\\u0000b"', "data_dir: expected a text"),
        ('first_date = "2020-01-01"', "first_date: expected a date without quotes"),
        ("first_date = 2020-01-01T00:00:00", "first_date: expected a date without quotes"),
        ("first_date = 0001-01-01", "first_date: expected a date"),
        ('region = "UK"', "region: expected an ISO 3166 country"),
        ('time_zone = "Europe/London"', "time_zone is not a key that tollbook knows (did you mean timezone?)"),
    ],
    "connections[hq]": [
        ("tenants = [2, 7]", "tenants: expected a list of different texts"),
        ('tenants = "2"', "tenants: expected a list of different texts"),
        ('tenants = ["2", "2"]', "tenants: expected a list of different texts"),
        ('tenants = [""]', "tenants: expected a list of different texts"),
        ('currency = "euro"', "currency: expected an ISO 4217 currency"),
        ('timezone = "Mars/Base"', "timezone: expected an IANA time zone"),
        ('region = "ZZ"', "region: expected an ISO 3166 country"),
        ("timeout_seconds = 0", "timeout_seconds: expected a whole number from 1 to 3600"),
        ("requests_per_hour = 0", "requests_per_hour: expected a whole number"),
        ("max_in_flight = 65", "max_in_flight: expected a whole number from 1 to 64"),
        ('allow_http = "yes"', "allow_http: expected true or false"),
        ("outside_line = 9", "outside_line: expected one to four digits in quotes"),
        ('outside_line = "*9"', "outside_line: expected one to four digits in quotes"),
        ('outside_line = ""', "outside_line: expected one to four digits in quotes"),
        ("key_in_url = 1", "key_in_url: expected true or false"),
        ("ca_bundle = false", "ca_bundle: expected a text"),
        ('apikey = "env:X"', "apikey is not a key of a pbxware connection (did you mean api_key?)"),
        (f'password = "{PLANTED}"', "password is not a key of a pbxware connection"),
        ('reconciles = ["hq"]', "reconciles is not a key of a pbxware connection"),
        (f'"{PLANTED} as a key" = 1', "a key that is not a key of a pbxware connection"),
    ],
    "alerts": [
        (f'webhook = "{PLANTED}"', "webhook: expected env:NAME or file:PATH"),
        (f'webhook = "http://hooks.example.com/{PLANTED}"', "webhook: expected https://"),
        (
            'email_to = "a@example.com"',
            "email_from: expected a text in quotes, on one line and not empty (with email_to",
        ),
        ('email_to = ["a@example.com", 5]', "email_to: expected a list"),
        ("smtp_port = 0", "smtp_port: expected a whole number from 1 to 65535"),
        ('web_hook = "env:X"', "web_hook is not a key that tollbook knows (did you mean webhook?)"),
    ],
    "fraud": [
        ("opens = 19", "closes: expected an hour after the one of opens"),
        ("premium_calls = 0", "premium_calls: expected a whole number from 1 to 1000000"),
        ("premium = 3", "premium is not a key that tollbook knows (did you mean premium_calls?)"),
    ],
}


@pytest.mark.parametrize(
    ("table", "line", "expected"), [(table, *case) for table, cases in ERRORS.items() for case in cases]
)
def test_a_wrong_key_is_named_with_what_is_expected(table: str, line: str, expected: str, tmp_path: Path) -> None:
    text = PBX + line if table == "connections[hq]" else f"[{table}]\n{line}\n{PBX}"
    assert f"{table}.{expected}" in refused(tmp_path, text)


def test_the_documented_configuration_gives_what_it_says(tmp_path: Path) -> None:
    settings = load(tmp_path, FOUR)
    assert settings.path == tmp_path / "tollbook.toml"
    assert settings.data_dir == tmp_path / "data"
    assert settings.reference_dir == tmp_path / "reference"
    assert settings.zone.key == settings.timezone == "Europe/London"
    assert settings.reporting_currency == "GBP"
    assert (settings.lookback_days, settings.long_call_hours) == (3, 12)
    assert [connection.name for connection in settings.connections] == ["hq", "sip", "tim", "vps"]

    hq, sip, tim, vps = settings.connections
    assert settings.connection("sip") is sip
    assert (hq.url, hq.currency, hq.tenants) == ("https://pbx.example.com/", "EUR", ("2", "7"))
    assert (tim.reconciles, tim.tolerance_seconds, tim.tolerance_percent) == (("hq",), 2, Decimal("0.5"))
    assert tim.fields == (("extension", "Ext"), ("cost", "Charge"))
    assert vps.currency == "USD"


def test_what_is_not_said_has_the_vendors_default(tmp_path: Path) -> None:
    settings = load(tmp_path, FOUR.replace('currency = "EUR"', "").replace('timezone = "Europe/London"', ""))
    hq, sip, tim, vps = settings.connections
    assert [c.url for c in (sip, tim, vps)] == [
        "https://pbx.sipcentric.com/api/v1",
        "https://api.tim4biz.com/api",
        "https://billing.time4vps.com/api",
    ]
    assert [c.currency for c in (hq, sip, tim)] == [None, None, None]
    assert [c.requests_per_hour for c in settings.connections] == [None, 1200, None, None]
    assert [c.timezone for c in settings.connections] == ["Europe/London"] * 3 + ["Europe/Vilnius"]
    assert (hq.timeout_seconds, hq.max_in_flight, hq.allow_http, hq.key_in_url) == (60, 4, False, True)
    assert hq.count_by_status
    assert (hq.region, hq.ca_bundle) == ("GB", None)
    assert settings.first_date == date(2020, 1, 1)
    assert settings.alerts.webhook_url() is None


def test_the_shortest_configuration_has_all_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, PBX)
    assert (settings.timezone, settings.reporting_currency, settings.lookback_days) == ("Europe/London", "GBP", 3)
    assert settings.data_dir == tmp_path / "data"


def test_a_connection_has_its_own_zone_and_region_or_those_of_all(tmp_path: Path) -> None:
    main = '[tollbook]\ntimezone = "Europe/Berlin"\nregion = "DE"\n'
    own = (
        PBX.replace("hq", "second").replace("pbx.", "pbx2.")
        + 'timezone = "Europe/Lisbon"\nregion = "PT"\noutside_line = "0"\n'
    )
    first, second = load(tmp_path, main + PBX + own).connections
    assert (first.zone.key, first.region) == ("Europe/Berlin", "DE")
    assert (second.zone.key, second.region) == ("Europe/Lisbon", "PT")
    assert (first.outside_line, second.outside_line) == ("", "0")


def test_optional_keys_are_taken(tmp_path: Path) -> None:
    extra = """
ca_bundle = "certs/pbx.pem"
timeout_seconds = 90
requests_per_hour = 600
max_in_flight = 8
key_in_url = false
count_by_status = false
"""
    text = '[tollbook]\nfirst_date = 2023-04-01\ndata_dir = "/srv/tollbook"\n' + PBX + extra
    settings = load(tmp_path, text)
    (hq,) = settings.connections
    assert settings.first_date == date(2023, 4, 1)
    assert settings.data_dir == Path("/srv/tollbook")
    assert hq.ca_bundle == tmp_path / "certs/pbx.pem"
    assert (hq.timeout_seconds, hq.requests_per_hour, hq.max_in_flight, hq.key_in_url) == (90, 600, 8, False)
    assert not hq.count_by_status


# Where the configuration is


def test_the_file_is_the_argument_else_the_variable_else_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("argument", "variable", "folder")):
        (tmp_path / name).mkdir()
        write(tmp_path / name, f"[tollbook]\nlookback_days = {number}\n" + PBX)
    monkeypatch.chdir(tmp_path / "folder")
    assert load_settings().lookback_days == 2
    assert load_settings().path == tmp_path / "folder/tollbook.toml"
    monkeypatch.setenv("TOLLBOOK_CONFIG", "")
    assert load_settings().lookback_days == 2
    monkeypatch.setenv("TOLLBOOK_CONFIG", str(tmp_path / "variable/tollbook.toml"))
    assert load_settings().lookback_days == 1
    assert load_settings(tmp_path / "argument/tollbook.toml").lookback_days == 0


def test_relative_paths_are_relative_to_the_file_not_to_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, PBX)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_settings(Path("../tollbook.toml")).data_dir.resolve() == tmp_path / "data"


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such configuration file .*TOLLBOOK_CONFIG"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_folder_and_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_settings(tmp_path)
    path = tmp_path / "tollbook.toml"
    path.write_bytes(b'x = "\xff' + PLANTED.encode() + b'"')
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_settings(path)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + PBX).connections[0].name == "hq"


def test_a_syntax_error_says_the_line_and_repeats_nothing(tmp_path: Path) -> None:
    assert "line 2, column 7: this is not TOML" in refused(tmp_path, f"[tollbook]\nkey = {PLANTED}\n" + PBX)
    assert "end of document" in refused(tmp_path, f'key = "{PLANTED}')
    assert "is not TOML" in refused(tmp_path, f"a = {'[' * 5000}")


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"hq"', '"-hq"', "connections[#1].name: expected at most 63 letters"),
        ('"hq"', '"h q"', "connections[#1].name: expected at most 63 letters"),
        ('"hq"', '"h\u00e9"', "connections[#1].name: expected at most 63 letters"),
        ('"hq"', '"../hq"', "connections[#1].name: expected at most 63 letters"),
        ('"hq"', f'"{"h" * 64}"', "connections[#1].name: expected at most 63 letters"),
        ('"hq"', '"hq\\n"', "connections[#1].name: expected at most 63 letters"),
        ('"hq"', "7", "connections[#1].name: expected at most 63 letters"),
        ('name = "hq"', "", "beginning with a letter or a digit (this key is required)"),
        ('"pbxware"', '"pbxwar"', "connections[hq].vendor: expected pbxware | sipcentric | tim4biz | time4vps"),
        ('"pbxware"', f'"{PLANTED}"', "connections[hq].vendor: expected pbxware | sipcentric | tim4biz | time4vps"),
        ('vendor = "pbxware"', "", "connections[hq].vendor: expected pbxware | sipcentric | tim4biz | time4vps"),
        ('"pbxware"', '["pbxware"]', "connections[hq].vendor: expected pbxware | sipcentric | tim4biz | time4vps"),
        ('url = "https://pbx.example.com/"', "", "connections[hq].url: expected an address"),
        ('api_key = "env:PBXWARE_API_KEY"', "", "connections[hq].api_key: expected env:NAME or file:PATH"),
        ("[[connections]]", "[connections]", "connections: expected at least one connection"),
        (
            "[[connections]]",
            "[[conections]]",
            "conections is not a key that tollbook knows (did you mean connections?)",
        ),
    ],
)
def test_a_wrong_connection_is_named(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in PBX
    assert expected in refused(tmp_path, PBX.replace(old, new))


@pytest.mark.parametrize("text", ["", "connections = []", "connections = 3", "[tollbook]\n"])
def test_a_configuration_without_connections_is_refused(text: str, tmp_path: Path) -> None:
    assert "connections: expected at least one connection" in refused(tmp_path, text)


@pytest.mark.parametrize(("first", "second"), [("hq", "hq"), ("hq", "HQ"), ("head-office", "Head_Office")])
def test_names_that_dagster_could_not_tell_apart_are_refused(first: str, second: str, tmp_path: Path) -> None:
    message = refused(tmp_path, PBX.replace('"hq"', f'"{first}"') + PBX.replace('"hq"', f'"{second}"'))
    assert f"connections[{second}].name: expected a name of its own" in message
    assert f"connections[{first}] has it" in message


def test_reconciles_names_exchanges_of_the_file(tmp_path: Path) -> None:
    wrong = FOUR.replace('reconciles = ["hq"]', 'reconciles = ["sip"]')
    assert "connections[tim].reconciles: expected names of pbxware connections" in refused(tmp_path, wrong)


def test_the_unit_of_durations_is_one_that_is_known(tmp_path: Path) -> None:
    """F09."""
    right = FOUR.replace("fields = {", 'fields = { duration_unit = "mm:ss",')
    assert right != FOUR
    assert ("duration_unit", "mm:ss") in load(tmp_path, right).connection("tim").fields
    wrong = refused(tmp_path, right.replace("mm:ss", "minute"))
    assert "connections[tim].fields.duration_unit: expected seconds | minutes | hours" in wrong
    assert "did you mean minutes?" in wrong


@pytest.mark.parametrize("percent", ["-1", "100.5", "nan", "inf", '"1"', "true"])
def test_a_tolerance_is_a_percentage(percent: str, tmp_path: Path) -> None:
    wrong = FOUR.replace("tolerance_percent = 0.5", f"tolerance_percent = {percent}")
    assert "connections[tim].tolerance_percent: expected a number from 0 to 100" in refused(tmp_path, wrong)


def test_field_names_are_ours_to_the_vendors(tmp_path: Path) -> None:
    wrong = FOUR.replace('cost = "Charge"', 'costs = "Charge"')
    assert "connections[tim].fields.costs is not a key that tollbook knows (did you mean cost?)" in refused(
        tmp_path, wrong
    )
    wrong = FOUR.replace('cost = "Charge"', "cost = 1")
    assert "connections[tim].fields.cost: expected a text" in refused(tmp_path, wrong)


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/",
        "http://localhost:8080/api",
        "http://[::1]:8080/",
        "https://pbx.example.com",
        "https://pbx.example.com:8443/sub/folder/",
    ],
)
def test_an_address_is_kept_as_it_is_written(url: str, tmp_path: Path) -> None:
    assert load(tmp_path, PBX.replace("https://pbx.example.com/", url)).connections[0].url == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://pbx.example.com/", "expected https://"),
        ("http://127.0.0.1.example.com/", "expected https://"),
        ("http://localhost.example.com/", "expected https://"),
        (f"https://user:{PLANTED}@pbx.example.com/", "without user and password"),
        (f"https://{PLANTED}@pbx.example.com/", "without user and password"),
        (f"https://pbx.example.com/?apikey={PLANTED}", "without ? and #"),
        (f"https://pbx.example.com/#{PLANTED}", "without ? and #"),
        ("https://pbx.example.com/?", "without ? and #"),
        ("ftp://pbx.example.com/", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("pbx.example.com", "begins with https://"),
        ("https://", "begins with https://"),
        ("https://pbx.example.com\\\\@evil.example.com/", "begins with https://"),
        ("https://pbx.example.com/a b", "begins with https://"),
        ("https://pbx.example.com:port/", "expected an address"),
        ("https://pbx.example.com:99999/", "expected an address"),
        ("https://[::1/", "expected an address"),
    ],
)
def test_an_address_that_would_leak_or_stray_is_refused(url: str, expected: str, tmp_path: Path) -> None:
    message = refused(tmp_path, PBX.replace("https://pbx.example.com/", url))
    assert "connections[hq].url: " in message
    assert expected in message


def test_plain_http_elsewhere_needs_a_word(tmp_path: Path) -> None:
    text = PBX.replace("https://", "http://")
    assert "allow_http = true" in refused(tmp_path, text)
    assert load(tmp_path, text + "allow_http = true\n").connections[0].url == "http://pbx.example.com/"


# Secrets


@pytest.mark.parametrize(
    "value",
    [
        f'"{PLANTED}"',
        f'"env:{PLANTED}-with-a-dash"',
        '"env:"',
        '"file:"',
        f'"ENV:{PLANTED}"',
        f'"vault:{PLANTED}"',
        '""',
        "12345678",
        f'["{PLANTED}"]',
        f'{{ value = "{PLANTED}" }}',
    ],
)
def test_a_secret_written_out_is_refused_and_not_repeated(value: str, tmp_path: Path) -> None:
    message = refused(tmp_path, PBX.replace('"env:PBXWARE_API_KEY"', value))
    assert "connections[hq].api_key: expected env:NAME or file:PATH" in message
    assert "12345678" not in message


def test_secrets_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PBXWARE_API_KEY", raising=False)
    (hq,) = load(tmp_path, PBX).connections
    with pytest.raises(ConfigError, match=r"connections\[hq\]\.api_key: the environment variable .* is not set"):
        hq.secret("api_key")
    monkeypatch.setenv("PBXWARE_API_KEY", PLANTED)
    secret = hq.secret("api_key")
    assert secret.reveal() == PLANTED
    assert PLANTED not in f"{secret} {secret!r} {hq!r} {hq}"
    with pytest.raises(KeyError):
        hq.secret("password")


@pytest.mark.parametrize("value", ["", "  ", f"{PLANTED}\n", f"{PLANTED}\nX-Other: 1", f"{PLANTED}\udcff"])
def test_an_unusable_variable_names_the_key_only(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBXWARE_API_KEY", value)
    (hq,) = load(tmp_path, PBX).connections
    with pytest.raises(ConfigError, match=r"connections\[hq\]\.api_key") as caught:
        hq.secret("api_key")
    assert PLANTED not in str(caught.value)


AROUND = "has spaces or a mark around the secret; they are not sent"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", "", False),
        ("", "\n", False),
        ("", "\r\n", False),
        ("", " \n", True),
        ("\ufeff", "\r\n", True),
        ("\ufeff ", "\t\n\n", True),
        ("\u00a0", "\u200b", True),
    ],
)
def test_what_stands_around_a_secret_is_not_sent(before: str, after: str, said: bool, tmp_path: Path) -> None:
    """Windows' Notepad writes a byte order mark; sent with it, a good password is a wrong one every night."""
    settings = load(tmp_path, PBX.replace("env:PBXWARE_API_KEY", "file:secrets/key"))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text(f"{before}two words{after}", encoding="utf-8", newline="")
    (tmp_path / "secrets/key").chmod(0o600)
    assert settings.connections[0].secret("api_key").reveal() == "two words"
    remarks = [f"connections[hq].api_key: the file that it names {AROUND}"] if said else []
    assert settings.check_secrets() == remarks


def test_spaces_around_a_variable_are_not_sent_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(tmp_path, PBX)
    monkeypatch.setenv("PBXWARE_API_KEY", f" {PLANTED} ")
    assert settings.connections[0].secret("api_key").reveal() == PLANTED
    assert settings.check_secrets() == [f"connections[hq].api_key: the environment variable that it names {AROUND}"]


@pytest.mark.parametrize(
    ("mode", "said"), [(0o600, False), (0o400, False), (0o644, True), (0o640, True), (0o604, True), (0o666, True)]
)
def test_a_secret_that_others_can_read_is_said_with_what_to_do(mode: int, said: bool, tmp_path: Path) -> None:
    settings = load(tmp_path, PBX.replace("env:PBXWARE_API_KEY", "file:the key"))
    path = tmp_path / "the key"
    path.write_text(PLANTED, encoding="utf-8")
    path.chmod(mode)
    remarks = settings.check_secrets()
    assert len(remarks) == said
    if said:
        others = "connections[hq].api_key: others on this machine can read the file that it names; run: "
        command = remarks[0].removeprefix(others)
        assert command == f"chmod go= '{path}'"
        subprocess.run(command, shell=True, check=True)
        assert settings.check_secrets() == []


def test_a_secret_that_is_ours_by_our_group_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's file, 0640 and of the service's group: without the group's right nobody could load."""
    settings = load(tmp_path, PBX.replace("env:PBXWARE_API_KEY", "file:key"))
    path = tmp_path / "key"
    path.write_text(PLANTED, encoding="utf-8")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    path.chmod(0o640)
    assert settings.check_secrets() == []
    path.chmod(0o644)
    assert settings.check_secrets()[0].endswith(f"chmod o= {path}")


def test_an_alerts_address_is_a_secret_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBXWARE_API_KEY", PLANTED)
    settings = load(tmp_path, f'[alerts]\nwebhook = "file:hook"\n{PBX}')
    (tmp_path / "hook").write_text("https://hooks.example.com/T0/x\n", encoding="utf-8")
    (tmp_path / "hook").chmod(0o644)
    assert [remark.partition(":")[0] for remark in settings.check_secrets()] == ["alerts.webhook"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (PLANTED.encode() + b"\nsecond line\n", "one line of readable text"),
        (PLANTED.encode() + b"\xff", "one line of readable text"),
        (PLANTED.encode() * 4000, "is larger than 65536 bytes"),
    ],
)
def test_an_unusable_secret_file_names_the_key_only(content: bytes | None, expected: str, tmp_path: Path) -> None:
    (hq,) = load(tmp_path, PBX.replace("env:PBXWARE_API_KEY", "file:key")).connections
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"connections\[hq\]\.api_key: .*{expected}") as caught:
        hq.secret("api_key")
    assert PLANTED not in str(caught.value)


def test_a_secret_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (hq,) = load(tmp_path, PBX.replace("env:PBXWARE_API_KEY", "file:.")).connections
    with pytest.raises(ConfigError, match=r"connections\[hq\]\.api_key: .* is not a regular file"):
        hq.check_secrets()


def test_all_secrets_are_checked_and_the_missing_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(tmp_path, FOUR)
    names = [
        "PBXWARE_API_KEY",
        "SIPCENTRIC_USERNAME",
        "SIPCENTRIC_PASSWORD",
        "TIM_USERNAME",
        "VPS_USERNAME",
        "VPS_PASSWORD",
    ]
    for name in names:
        monkeypatch.setenv(name, PLANTED)
    with pytest.raises(ConfigError, match=r"connections\[tim\]\.password: the file .* does not exist"):
        settings.check_secrets()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/tim").write_text(PLANTED, encoding="utf-8")
    settings.check_secrets()
    monkeypatch.delenv("SIPCENTRIC_PASSWORD")
    with pytest.raises(ConfigError, match=r"connections\[sip\]\.password"):
        settings.check_secrets()


# Alerts


def test_alerts_say_whom_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
[alerts]
webhook = "env:ALERT_WEBHOOK"
email_to = "night@example.com"
email_from = "tollbook@example.com"
smtp_host = "mail.example.com"
smtp_port = 587
"""
    alerts = load(tmp_path, PBX + text).alerts
    assert alerts.email_to == ("night@example.com",)
    assert (alerts.email_from, alerts.smtp_host, alerts.smtp_port) == ("tollbook@example.com", "mail.example.com", 587)
    monkeypatch.setenv("ALERT_WEBHOOK", f"https://hooks.example.com/{PLANTED}?a=b")
    url = alerts.webhook_url()
    assert url is not None
    assert url.reveal() == f"https://hooks.example.com/{PLANTED}?a=b"
    monkeypatch.setenv("ALERT_WEBHOOK", f"{PLANTED}")
    with pytest.raises(ConfigError, match=r"alerts\.webhook: expected an address") as caught:
        alerts.webhook_url()
    assert PLANTED not in str(caught.value)


def test_the_heartbeat_is_an_address_or_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(tmp_path, PBX).heartbeat_url() is None
    written = load(tmp_path, f'[tollbook]\nheartbeat = "https://ping.example.com/{PLANTED}"\n' + PBX)
    assert written.heartbeat_url().reveal() == f"https://ping.example.com/{PLANTED}"  # type: ignore[union-attr]
    assert PLANTED not in repr(written)
    kept = load(tmp_path, '[tollbook]\nheartbeat = "env:HEARTBEAT"\n' + PBX)
    monkeypatch.setenv("HEARTBEAT", PLANTED)
    with pytest.raises(ConfigError, match=r"tollbook\.heartbeat: expected an address") as caught:
        kept.heartbeat_url()
    assert PLANTED not in str(caught.value)
    assert "tollbook.heartbeat: expected https://" in refused(
        tmp_path, f'[tollbook]\nheartbeat = "http://ping.example.com/{PLANTED}"\n' + PBX
    )


@pytest.mark.parametrize("value", ["0", "87601", '"36"', '"2 d"', '"-1h"', '"0h"', '"4000d"', "1.5", "true", '"36h "'])
def test_a_time_that_is_no_whole_number_of_hours_is_refused(value: str, tmp_path: Path) -> None:
    told = refused(tmp_path, PBX + f"stale_after = {value}\n")
    assert ".stale_after: expected a whole number of hours from 1 to 87600" in told


def test_a_webhook_written_out_is_kept_as_a_secret(tmp_path: Path) -> None:
    settings = load(tmp_path, PBX + f'[alerts]\nwebhook = "https://hooks.example.com/{PLANTED}"\n')
    url = settings.alerts.webhook_url()
    assert url is not None
    assert url.reveal() == f"https://hooks.example.com/{PLANTED}"
    assert PLANTED not in repr(settings)


# All of it


def test_an_unknown_connection_names_the_known_ones(tmp_path: Path) -> None:
    settings = load(tmp_path, FOUR)
    with pytest.raises(ConfigError, match=r"no connection of that name \(known: hq, sip, tim, vps\)"):
        settings.connection("warehouse")


def test_settings_can_be_compared_hashed_and_sent_to_another_process(tmp_path: Path) -> None:
    first, again = load(tmp_path, FOUR), load(tmp_path, FOUR)
    assert first == again
    assert hash(first) == hash(again)
    assert pickle.loads(pickle.dumps(first)) == first


SCALARS = (
    st.text(max_size=20)
    | st.integers()
    | st.booleans()
    | st.dates().map(lambda day: day)
    | st.floats(allow_nan=True)
    | st.just("env:X")
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=5), SCALARS, max_size=2)


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    vendor=st.sampled_from(sorted(VENDORS)),
    connection=st.dictionaries(
        st.sampled_from(sorted({key for model in VENDORS.values() for key in model.known_keys()})),
        VALUES,
    ),
    main=st.dictionaries(st.sampled_from(Tollbook.known_keys()), VALUES, max_size=2),
)
def test_any_values_give_settings_or_a_configuration_error(
    vendor: str, connection: dict[str, object], main: dict[str, object], tmp_path: Path
) -> None:
    lines = ["[tollbook]", *(f"{key} = {toml(value)}" for key, value in main.items()), "[[connections]]"]
    base: dict[str, object] = {"name": "hq", "vendor": vendor, "url": "https://a.example.com/"}
    base |= dict.fromkeys(VENDORS[vendor].secrets, "env:SECRET")
    lines += [f"{key} = {toml(value)}" for key, value in (base | connection).items()]
    path = write(tmp_path, "\n".join(lines) + "\n")
    outcome: Settings | ConfigError
    try:
        outcome = load_settings(path)
    except ConfigError as error:
        outcome = error
    assert str(path) in str(outcome) if isinstance(outcome, ConfigError) else len(outcome.connections) == 1


# --- fraud ------------------------------------------------------------------------------------------------------------


def test_limits_of_fraud_replace_their_defaults(tmp_path: Path) -> None:
    fraud = load(tmp_path, PBX + "[fraud]\ncloses = 24\nopen_weekends = true\nspike_minimum = 5\n").fraud
    assert fraud == FraudRules(closes=24, open_weekends=True, spike_minimum=Decimal(5))
    assert load(tmp_path, PBX).fraud == FraudRules()
