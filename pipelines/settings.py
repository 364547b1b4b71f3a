"""What a person configured: ``tollbook.toml`` and the environment, checked and typed.

What lives here: every key of the configuration file, its default and its check, and the only reading of the process
environment (``TOLLBOOK_CONFIG`` and the secrets that ``env:NAME`` points at). What does not: what is made of it
(``resources``), and finance's own CSV files (``warehouse``).

A wrong configuration is refused whole, before anything runs. Messages name the file, the key and what is expected, and
never repeat a value: it might be a secret in the wrong place. Secrets are read when they are asked for, not before.
"""

import difflib
import ipaddress
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from phonenumbers import SUPPORTED_REGIONS

from assets.http.secret import Secret
from tollbook_errors import ConfigError
from warehouse.accounts import Account, plain_name
from warehouse.fraud import FraudRules
from warehouse.schema import FIRST_YEAR, LAST_YEAR
from warehouse.user_files import MIB, WrongFile, read_user_file

CONFIG_VARIABLE = "TOLLBOOK_CONFIG"
DEFAULT_FILE = "tollbook.toml"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_SECRET = 64 * 1024
MAX_FILE = MIB
MAX_BUNDLE = 8 * MIB
_AROUND = " \t\r\n\u00a0\u200b\u2060\ufeff"  # what editors and spreadsheets leave around a text, and nobody sees
SHORTEST_RETENTION = 93  # days: what a night may read again or catch up with, and the month before this one


@dataclass(frozen=True)
class Vendor:
    """What differs between vendors in the configuration: secrets, defaults and the keys of its own."""

    secrets: tuple[str, ...]
    url: str | None = None
    timezone: str | None = None
    requests_per_hour: int | None = None
    own_keys: tuple[str, ...] = ()


_NUMBERS = ("region", "outside_line")  # how numbers are read

VENDORS: Mapping[str, Vendor] = {
    "pbxware": Vendor(secrets=("api_key",), own_keys=("tenants", *_NUMBERS, "key_in_url", "count_by_status")),
    "sipcentric": Vendor(
        secrets=("username", "password"),
        url="https://pbx.sipcentric.com/api/v1",
        requests_per_hour=1200,
        own_keys=_NUMBERS,
    ),
    "tim4biz": Vendor(
        secrets=("username", "password"),
        url="https://api.tim4biz.com/api",
        own_keys=("fields", "reconciles", "tolerance_seconds", "tolerance_percent"),
    ),
    "time4vps": Vendor(
        secrets=("username", "password"), url="https://billing.time4vps.com/api", timezone="Europe/Vilnius"
    ),
}

TOP_KEYS = ("tollbook", "connections", "alerts", "fraud")
TOLLBOOK_KEYS = (
    "data_dir",
    "timezone",
    "reporting_currency",
    "lookback_days",
    "reference_dir",
    "first_date",
    "region",
    "nightly",
    "retention_days",
    "pseudonym_key",
    "long_call_hours",
    "heartbeat",
)
CONNECTION_KEYS = (
    "name",
    "vendor",
    "url",
    "currency",
    "timezone",
    "ca_bundle",
    "timeout_seconds",
    "requests_per_hour",
    "max_in_flight",
    "max_answer_mib",
    "allow_http",
    "stale_after",
)
ALERT_KEYS = ("webhook", "email_to", "email_from", "smtp_host", "smtp_port")
FRAUD_KEYS = tuple(FraudRules.__dataclass_fields__)
DURATION_UNITS = ("seconds", "minutes", "hours", "mm:ss", "h:mm", "hh:mm", "h:mm:ss", "hh:mm:ss")
TOTAL_FIELDS = ("extension", "name", "calls", "incoming", "outgoing", "duration_seconds", "cost")


@dataclass(frozen=True)
class SecretSource:
    """Where one secret is kept: an environment variable or a file. Holds no secret itself."""

    key: str
    """The configuration key as messages name it, such as ``connections[hq].api_key``."""
    variable: str | None = None
    file: Path | None = None

    def read(self) -> Secret:
        """Read the secret now. Raises ConfigError, naming only the key, when it is missing, empty or not one line.

        Spaces around it are not part of it, nor are the byte order mark and the line end of a file: sent, they would
        be a wrong password, and a few of those lock an account.
        """
        value, _ = self._content()
        secret = value.strip(_AROUND)
        if not secret:
            raise ConfigError(f"{self.key}: {self._place} is empty")
        if CONTROL.search(secret) or (self.file is None and CONTROL.search(value)):
            raise ConfigError(f"{self.key}: {self._place} does not hold one line of readable text")
        return Secret(secret, self.key)

    def remarks(self) -> list[str]:
        """What about the secret's place somebody should look at. Raises ConfigError as ``read`` does."""
        found = []
        value, status = self._content()
        if value.strip("\r\n") != value.strip(_AROUND):
            found.append(f"{self.key}: {self._place} has spaces or a mark around the secret; they are not sent")
        if self.file is not None and status is not None:
            ours = status.st_uid == os.geteuid()  # another owner's file is ours by its group
            if status.st_mode & (0o077 if ours else 0o007):
                command = f"chmod {'go' if ours else 'o'}= {shlex.quote(str(self.file))}"
                found.append(f"{self.key}: others on this machine can read the file that it names; run: {command}")
        return found

    @property
    def _place(self) -> str:
        return "the environment variable that it names" if self.file is None else "the file that it names"

    def _content(self) -> tuple[str, os.stat_result | None]:
        """What stands there, and the status of the file where it is one."""
        if self.file is None:
            value = os.environ.get(self.variable or "")
            if value is None:
                raise ConfigError(f"{self.key}: {self._place} is not set", hint="set it where tollbook runs")
            return value, None
        try:
            content, status = read_user_file(self.file, MAX_SECRET)
        except FileNotFoundError:
            raise ConfigError(f"{self.key}: {self._place} does not exist") from None
        except (OSError, WrongFile) as error:
            raise ConfigError(f"{self.key}: {self._place} {_why(error)}") from None
        # Bytes that are not text become lone surrogates, which read() refuses as unreadable.
        return content.decode("utf-8", errors="surrogateescape"), status


def secret_source(name: str, value: object, folder: Path) -> SecretSource | None:
    """Where a secret is, said as ``env:NAME`` or ``file:PATH`` (relative to ``folder``); None for anything else."""
    scheme, _, target = value.partition(":") if isinstance(value, str) else ("", "", "")
    if scheme == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", target):
        return SecretSource(name, variable=target)
    if scheme == "file" and target.strip() and not CONTROL.search(target):
        return SecretSource(name, file=folder / target)
    return None


@dataclass(frozen=True)
class Connection:
    """One account at one vendor, as configured."""

    name: str
    vendor: str
    url: str
    """Base address as configured: http or https, without user, query or fragment."""
    timezone: str
    """IANA name of the account's own zone, in which the vendor's naive times are read."""
    credentials: tuple[tuple[str, SecretSource], ...]
    currency: str | None = None
    """ISO 4217; what the amounts are in where the vendor does not say."""
    region: str = "GB"
    """ISO 3166 country in which numbers without a country code are read."""
    outside_line: str = ""
    """Digits that are dialled for an outside line, before the number; empty where there are none."""
    tenants: tuple[str, ...] = ()
    """Keys of PBXware's ``tenant.list``; empty means all."""
    ca_bundle: Path | None = None
    timeout_seconds: int = 60
    requests_per_hour: int | None = None
    """None: no budget is known, so requests are not paced."""
    max_in_flight: int = 4
    max_answer_mib: int = 4
    """The largest response that is read, unpacked; a load can take several times as much memory."""
    allow_http: bool = False
    stale_after: timedelta = timedelta(hours=36)
    """For how long a good load of yesterday is good news."""
    key_in_url: bool = True
    """PBXware: ask by GET, with the key in the address; else by POST, with the key in a form."""
    count_by_status: bool = True
    """PBXware: ask for the number of records by status, which costs four requests a tenant and day."""
    fields: tuple[tuple[str, str], ...] = ()
    """TIM4biz: pairs of (our name, the vendor's field name), and ``duration_unit`` with one of DURATION_UNITS."""
    reconciles: tuple[str, ...] = ()
    """TIM4biz: the PBX connections whose calls its totals count; empty means all PBXware connections."""
    tolerance_seconds: int = 0
    """TIM4biz: seconds per call by which a total may differ from the PBX and still pass."""
    tolerance_percent: Decimal = Decimal(0)
    """TIM4biz: percent by which seconds and cost may differ from the PBX and still pass."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def account(self, login: object) -> Account:
        """Whose account it leads to; ``login`` as ``Account`` has it."""
        return Account.at(self.vendor, self.url, login, self.tenants)

    def secret(self, key: str) -> Secret:
        """The secret ``api_key``, ``username`` or ``password``, read now. Raises ConfigError when it is missing."""
        return dict(self.credentials)[key].read()

    def check_secrets(self) -> None:
        """Raise ConfigError for the first secret that cannot be read, and for a ca_bundle that is no file."""
        for _, source in self.credentials:
            source.read()
        self.certificates()

    def certificates(self) -> Path | None:
        """The file of certificates to trust; None: the system's. Raises ConfigError when it cannot be read."""
        if self.ca_bundle is not None:
            try:
                read_user_file(self.ca_bundle, MAX_BUNDLE)
            except (OSError, WrongFile) as error:
                raise ConfigError(f"connections[{self.name}].ca_bundle: the file {_why(error)}") from None
        return self.ca_bundle


@dataclass(frozen=True)
class Alerts:
    """Whom to tell when a load fails; all optional."""

    webhook: Secret | SecretSource | None = None
    """Address to post to. Kept as a secret even when written out: such addresses often carry a token."""
    email_to: tuple[str, ...] = ()
    """Mail addresses; with any, ``email_from`` and ``smtp_host`` are set too."""
    email_from: str | None = None
    smtp_host: str | None = None
    smtp_port: int = 25

    def webhook_url(self) -> Secret | None:
        """The webhook's address, read now; None when there is none. Raises ConfigError when it is no usable address."""
        return _address(self.webhook)


def _address(source: Secret | SecretSource | None) -> Secret | None:
    """An address that may hold a token, read now. Raises ConfigError when it is no usable address."""
    if not isinstance(source, SecretSource):
        return source
    address = source.read()
    problem = _url_problem(address.reveal(), may_have_query=True)
    if problem:
        raise ConfigError(f"{source.key}: {problem}")
    return address


@dataclass(frozen=True)
class Settings:
    """The whole configuration. Paths are absolute; ``path`` is the file it came from."""

    path: Path
    data_dir: Path
    reference_dir: Path
    connections: tuple[Connection, ...]
    timezone: str = "Europe/London"
    """IANA name of the zone whose days are business days."""
    reporting_currency: str = "GBP"
    lookback_days: int = 3
    first_date: date = date(2020, 1, 1)
    """First business day worth loading."""
    region: str = "GB"
    nightly: str = "15 2 * * *"
    """When the schedule loads, as a cron expression in ``timezone``."""
    retention_days: int | None = None
    """How many business days before today are kept at least; None: all."""
    long_call_hours: int = 12
    """From how many hours on a leg makes its call a long one."""
    alerts: Alerts = Alerts()
    fraud: FraudRules = FraudRules()
    pseudonym_key: SecretSource | None = None
    """Where the key is under which numbers are published as pseudonyms; None: they are not."""
    heartbeat: Secret | SecretSource | None = None
    """Address to call after each good night. Kept as a secret, as ``Alerts.webhook`` is."""

    def read_pseudonym_key(self) -> bytes:
        """The key, read now. Raises ConfigError when it is missing or shorter than 16 bytes."""
        assert self.pseudonym_key is not None
        key = self.pseudonym_key.read().reveal().encode()
        if len(key) < 16:
            raise ConfigError(f"{self.pseudonym_key.key}: expected at least 16 characters", hint="openssl rand -hex 32")
        return key

    def heartbeat_url(self) -> Secret | None:
        """The heartbeat's address, read now; None when there is none. Raises ConfigError when it is no usable one."""
        return _address(self.heartbeat)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def connection(self, name: str) -> Connection:
        """The connection of this name. Raises ConfigError, with the closest known name, when there is none."""
        for connection in self.connections:
            if connection.name == name:
                return connection
        known = [connection.name for connection in self.connections]
        raise ConfigError(f"{self.path}: there is no connection of that name", hint=_nearest(name, known))

    def check_secrets(self) -> list[str]:
        """Raise ConfigError for the first secret that cannot be read: of a connection, the alerts or the heartbeat.

        Gives what about their places somebody should look at. ConfigError, too, where two connections turn out to have
        one account's.
        """
        for connection in self.connections:
            connection.check_secrets()
        _refuse_one_account_twice(self.path, self.connections, lambda source: source.read().reveal())
        self.alerts.webhook_url()
        self.heartbeat_url()
        if self.pseudonym_key is not None:
            self.read_pseudonym_key()
        places = [source for connection in self.connections for _, source in connection.credentials]
        others = (self.alerts.webhook, self.heartbeat, self.pseudonym_key)
        places += [source for source in others if isinstance(source, SecretSource)]
        return [remark for place in places for remark in place.remarks()]


def configured_path() -> Path:
    """The configuration file that counts when none is named: ``TOLLBOOK_CONFIG``, else ``./tollbook.toml``."""
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE).absolute()


def is_configured() -> bool:
    """Whether there is a configuration to go by: one that ``TOLLBOOK_CONFIG`` names, there or not, or a file."""
    path = configured_path()
    return bool(os.environ.get(CONFIG_VARIABLE)) or path.exists() or path.is_symlink()


def configured_home() -> Path | None:
    """Dagster's home where ``DAGSTER_HOME`` names one; None where Tollbook keeps its own."""
    home = os.environ.get("DAGSTER_HOME")
    return Path(home).absolute() if home else None


def load_settings(path: Path | None = None) -> Settings:
    """Read and check the configuration at ``path``, else ``TOLLBOOK_CONFIG``, else ``./tollbook.toml``.

    No secret is read. Raises ConfigError at the first thing that is wrong.
    """
    path = (path or configured_path()).absolute()
    top = _Table(path, "", _read_toml(path))
    top.only(TOP_KEYS)
    return _settings(top)


def _settings(top: "_Table") -> Settings:
    main = top.table("tollbook")
    main.only(TOLLBOOK_KEYS)
    timezone = main.timezone("timezone", "Europe/London")
    region = main.region("region", "GB")
    first_date = main.day("first_date", date(2020, 1, 1))
    tables = top.tables("connections")
    connections = tuple(_connection(table, timezone, region) for table in tables)
    _refuse_collisions(top, connections)
    _refuse_one_account_twice(top.file, connections, lambda source: (source.variable, source.file))
    _check_reconciles(top, connections)
    return Settings(
        path=top.file,
        data_dir=main.path("data_dir", "data"),
        reference_dir=main.path("reference_dir", "reference"),
        connections=connections,
        timezone=timezone,
        reporting_currency=main.currency("reporting_currency", "GBP"),
        lookback_days=main.integer("lookback_days", 3, 0, 60),
        first_date=first_date,
        region=region,
        nightly=main.cron("nightly", "15 2 * * *"),
        retention_days=main.optional_integer("retention_days", None, SHORTEST_RETENTION, 36_500),
        long_call_hours=main.integer("long_call_hours", 12, 1, 720),
        alerts=_alerts(top.table("alerts")),
        pseudonym_key=main.secret("pseudonym_key") if "pseudonym_key" in main else None,
        heartbeat=main.web_address("heartbeat"),
        fraud=_fraud(top.table("fraud")),
    )


def _connection(table: "_Table", timezone: str, region: str) -> Connection:
    """One ``[[connections]]`` table, with the vendor's defaults."""
    if isinstance(table.get("name"), str) and NAME.fullmatch(table.get("name")):
        table.where = f"connections[{table.get('name')}]"  # from here on messages can say which one
    vendor_name = table.choice("vendor", VENDORS)
    vendor = VENDORS[vendor_name]
    table.only(CONNECTION_KEYS + vendor.secrets + vendor.own_keys, owner=f"a {vendor_name} connection")
    name = table.required_text("name")
    if not NAME.fullmatch(name):
        raise table.error("name", "at most 63 letters, digits, - and _, beginning with a letter or a digit")
    allow_http = table.boolean("allow_http")
    fields = table.table("fields")
    fields.only((*TOTAL_FIELDS, "duration_unit"))
    names = [(key, fields.required_text(key)) for key in TOTAL_FIELDS if key in fields]
    if "duration_unit" in fields:
        names.append(("duration_unit", fields.choice("duration_unit", DURATION_UNITS)))
    return Connection(
        name=name,
        vendor=vendor_name,
        url=table.url("url", vendor.url, allow_http=allow_http),
        timezone=table.timezone("timezone", vendor.timezone or timezone),
        credentials=tuple((key, table.secret(key)) for key in vendor.secrets),
        currency=table.optional_currency("currency", None),
        region=table.region("region", region),
        outside_line=table.few_digits("outside_line"),
        tenants=table.texts("tenants"),
        ca_bundle=table.optional_path("ca_bundle"),
        timeout_seconds=table.integer("timeout_seconds", 60, 1, 3600),
        requests_per_hour=table.optional_integer("requests_per_hour", vendor.requests_per_hour, 1, 10_000_000),
        max_in_flight=table.integer("max_in_flight", 4, 1, 64),
        max_answer_mib=table.integer("max_answer_mib", 4, 1, 256),
        allow_http=allow_http,
        stale_after=table.hours("stale_after", 36, 1, 87_600),
        key_in_url=table.boolean("key_in_url", default=True),
        count_by_status=table.boolean("count_by_status", default=True),
        fields=tuple(names),
        reconciles=table.texts("reconciles"),
        tolerance_seconds=table.integer("tolerance_seconds", 0, 0, 3600),
        tolerance_percent=table.percent("tolerance_percent"),
    )


def _alerts(table: "_Table") -> Alerts:
    table.only(ALERT_KEYS)
    alerts = Alerts(
        webhook=table.web_address("webhook"),
        email_to=table.texts("email_to", one_will_do=True),
        email_from=table.optional_text("email_from"),
        smtp_host=table.optional_text("smtp_host"),
        smtp_port=table.integer("smtp_port", 25, 1, 65535),
    )
    if alerts.email_to:
        for key in ("email_from", "smtp_host"):
            table.required_text(key)
    return alerts


def _fraud(table: "_Table") -> FraudRules:
    table.only(FRAUD_KEYS)
    usual = FraudRules()
    rules = FraudRules(
        opens=table.integer("opens", usual.opens, 0, 23),
        closes=table.integer("closes", usual.closes, 1, 24),
        open_weekends=table.boolean("open_weekends"),
        out_of_hours_calls=table.integer("out_of_hours_calls", usual.out_of_hours_calls, 1, 1_000_000),
        premium_calls=table.integer("premium_calls", usual.premium_calls, 1, 1_000_000),
        nanp_calls=table.integer("nanp_calls", usual.nanp_calls, 1, 1_000_000),
        learning_days=table.integer("learning_days", usual.learning_days, 0, 3660),
        spike_times=table.integer("spike_times", usual.spike_times, 1, 1000),
        spike_minimum=Decimal(table.integer("spike_minimum", int(usual.spike_minimum), 0, 1_000_000)),
    )
    if rules.closes <= rules.opens:
        raise table.error("closes", "an hour after the one of opens")
    return rules


def _refuse_collisions(top: "_Table", connections: tuple[Connection, ...]) -> None:
    """Names must differ, also in the spelling that Dagster's own names allow: lower case, ``_`` for ``-``."""
    seen: dict[str, str] = {}
    for connection in connections:
        plain = plain_name(connection.name)
        other = seen.setdefault(plain, connection.name)
        if other is not connection.name:
            raise top.error(
                f"connections[{connection.name}].name",
                f"a name of its own: case and - or _ make no difference, and connections[{other}] has it",
            )


def _refuse_one_account_twice(
    file: Path, connections: tuple[Connection, ...], login_of: Callable[[SecretSource], object]
) -> None:
    """One account under two names counts everything twice. ``login_of``: what tells users, or PBXware's keys, apart."""
    accounts = [(each.name, each.account(login_of(each.credentials[0][1]))) for each in connections]
    for (name, account), (other, others) in combinations(accounts, 2):
        if account.is_certainly(others):
            raise ConfigError(
                f"{file}: connections[{name}] and connections[{other}] are one account: everything would count twice",
                hint="take one out" + (", or give each its own tenants" if account.vendor == "pbxware" else ""),
            )


def _check_reconciles(top: "_Table", connections: tuple[Connection, ...]) -> None:
    exchanges = [connection.name for connection in connections if connection.vendor == "pbxware"]
    for connection in connections:
        for name in connection.reconciles:
            if name not in exchanges:
                key = f"connections[{connection.name}].reconciles"
                raise top.error(key, "names of pbxware connections of this file", hint=_nearest(name, exchanges))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # Windows editors begin a file with a byte order mark.
        content, _ = read_user_file(path, MAX_FILE)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        hint = f"write one, or say where it is with --config or {CONFIG_VARIABLE}"
        raise ConfigError(f"{path}: there is no such configuration file", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the configuration file is not UTF-8 text") from None
    except (OSError, WrongFile) as error:
        raise ConfigError(f"{path}: the configuration file {_why(error)}") from None
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        # Of the parser's message only the place is kept: it may quote the text.
        place = re.search(r"line \d+, column \d+|end of document", str(error))
        where = f"{place.group()}: " if place else ""
        hint = 'texts stand in quotes: timezone = "Europe/London"'
        raise ConfigError(f"{path}: {where}this is not TOML", hint=hint) from None


def _why(error: OSError | WrongFile) -> str:
    """Why a file cannot be read, without its path."""
    return str(error) if isinstance(error, WrongFile) else f"cannot be read ({error.strerror})"


class _Table:
    """One table of the file: reads and checks one key at a time. ``where`` is how messages name the table."""

    def __init__(self, file: Path, where: str, values: Mapping[str, Any]) -> None:
        self.file = file
        self.where = where
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def name_of(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def error(self, key: str, expected: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.file}: {self.name_of(key)}: expected {expected}", hint=hint)

    def only(self, known: Iterable[str], owner: str = "") -> None:
        """Refuse the first key that is not among ``known``; ``owner`` says whose keys those are."""
        known = tuple(known)
        for key in self._values:
            if key not in known:
                shown = key if NAME.fullmatch(key) else "a key that"
                what = f"is not a key of {owner}" if owner else "is not a key that tollbook knows"
                raise ConfigError(f"{self.file}: {self.name_of(shown)} {what}", hint=_nearest(key, known))

    def table(self, key: str) -> "_Table":
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"a table, written [{self.name_of(key)}]")
        return _Table(self.file, self.name_of(key), value)

    def tables(self, key: str) -> list["_Table"]:
        values = self._values.get(key)
        if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
            raise self.error(key, f"at least one connection, each written [[{key}]]")
        return [_Table(self.file, f"{key}[#{number}]", value) for number, value in enumerate(values, 1)]

    def optional_text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or CONTROL.search(value):
            raise self.error(key, "a text in quotes, on one line and not empty")
        return value

    def required_text(self, key: str) -> str:
        value = self.optional_text(key)
        if value is None:
            raise self.error(key, "a text: this key is required")
        return value

    def texts(self, key: str, *, one_will_do: bool = False) -> tuple[str, ...]:
        """A list of different texts; ``one_will_do`` takes a single text for a list of one."""
        values = self._values.get(key, [])
        if one_will_do and isinstance(values, str):
            values = [values]
        expected = 'a list of different texts, such as ["2", "7"]'
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.error(key, expected)
        if len(set(values)) < len(values) or any(not value.strip() or CONTROL.search(value) for value in values):
            raise self.error(key, expected)
        return tuple(values)

    def choice(self, key: str, known: Iterable[str]) -> str:
        known = tuple(known)
        value = self._values.get(key)
        if not isinstance(value, str) or value not in known:
            hint = _nearest(value, known) if isinstance(value, str) else ""
            raise self.error(key, " | ".join(known), hint=hint)
        return value

    def boolean(self, key: str, *, default: bool = False) -> bool:
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def optional_integer(self, key: str, default: int | None, low: int, high: int) -> int | None:
        value = self._values.get(key, default)
        if value is None:
            return None
        # bool is an int in Python: `true` must not pass for 1.
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"a whole number from {low} to {high}")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self.optional_integer(key, default, low, high)
        return default if value is None else value

    def hours(self, key: str, default: int, low: int, high: int) -> timedelta:
        """A whole number of hours, or a text such as "36h" or "2d"."""
        value = self._values.get(key, default)
        if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6})([hd])", value)):
            value = int(match[1]) * {"h": 1, "d": 24}[match[2]]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f'a whole number of hours from {low} to {high}, or a text such as "36h" or "2d"')
        return timedelta(hours=value)

    def percent(self, key: str) -> Decimal:
        value = self._values.get(key, 0)
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            raise self.error(key, "a number from 0 to 100")
        number = Decimal(value)
        if not number.is_finite() or not 0 <= number <= 100:
            raise self.error(key, "a number from 0 to 100")
        return number

    def day(self, key: str, default: date) -> date:
        value = self._values.get(key, default)
        # A TOML date with a time is a datetime, which is a date in Python.
        if not isinstance(value, date) or isinstance(value, datetime) or not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise self.error(key, "a date without quotes, such as 2024-01-31")
        return value

    def optional_path(self, key: str) -> Path | None:
        value = self.optional_text(key)
        return None if value is None else self.file.parent / value

    def path(self, key: str, default: str) -> Path:
        return self.optional_path(key) or self.file.parent / default

    def optional_currency(self, key: str, default: str | None) -> str | None:
        value = self._values.get(key, default)
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
            raise self.error(key, 'an ISO 4217 currency in three capitals, such as "EUR"')
        return value

    def currency(self, key: str, default: str) -> str:
        return self.optional_currency(key, default) or default

    def region(self, key: str, default: str) -> str:
        value = self._values.get(key, default)
        if not isinstance(value, str) or value not in SUPPORTED_REGIONS:
            raise self.error(key, 'an ISO 3166 country in two capitals, such as "GB"')
        return value

    def few_digits(self, key: str) -> str:
        value = self._values.get(key, "")
        if key in self and not (isinstance(value, str) and re.fullmatch("[0-9]{1,4}", value)):
            raise self.error(key, 'one to four digits in quotes, such as "9"')
        return str(value)

    def cron(self, key: str, default: str) -> str:
        """Five fields of a cron expression; what they may hold is Dagster's to say."""
        if key not in self:
            return default
        value = self.required_text(key)
        if not re.fullmatch(r"(?:[0-9A-Za-z*/,-]+ ){4}[0-9A-Za-z*/,-]+", value):
            raise self.error(key, 'a cron expression of five fields, such as "15 2 * * *"')
        return value

    def timezone(self, key: str, default: str) -> str:
        value = self._values.get(key, default)
        try:
            return ZoneInfo(value).key
        except (LookupError, ValueError, TypeError, OSError, AttributeError):
            # LookupError: no such zone; OSError: a folder of zones, such as "Europe"; the rest: no zone's name at all.
            hint = _nearest(value, available_timezones()) if isinstance(value, str) else ""
            raise self.error(key, 'an IANA time zone, such as "Europe/London"', hint=hint) from None

    def url(self, key: str, default: str | None, *, allow_http: bool) -> str:
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self.error(key, "an address, such as https://pbx.example.com/: this key is required")
        problem = _url_problem(value, allow_http=allow_http)
        if problem:
            hint = "allow_http = true permits it all the same" if "http://" in problem else ""
            raise ConfigError(f"{self.file}: {self.name_of(key)}: {problem}", hint=hint)
        return value

    def secret(self, key: str) -> SecretSource:
        """Where the secret is; it is not read."""
        source = secret_source(self.name_of(key), self._values.get(key), self.file.parent)
        if source is None:
            raise self.error(key, "env:NAME or file:PATH: secrets are never written into the configuration")
        return source

    def web_address(self, key: str) -> Secret | SecretSource | None:
        """An address that may hold a token: written out, or where it is."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value.partition(":")[0] in ("http", "https"):
            problem = _url_problem(value, may_have_query=True)
            if problem:
                raise ConfigError(f"{self.file}: {self.name_of(key)}: {problem}")
            return Secret(value, self.name_of(key))
        return self.secret(key)


def _url_problem(url: str, *, allow_http: bool = False, may_have_query: bool = False) -> str:
    """What is wrong with an address, in words that do not repeat it; empty when nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # port raises ValueError when it is no port number
    except ValueError:
        return "expected an address, such as https://pbx.example.com/"
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\]", url) or CONTROL.search(url):
        return "expected an address that begins with https://, such as https://pbx.example.com/"
    if "@" in parts.netloc:
        return "expected an address without user and password: they have keys of their own"
    if not may_have_query and ("?" in url or "#" in url):
        return "expected an address without ? and #"
    if parts.scheme == "http" and not (allow_http or _is_loopback(host)):
        return "expected https:// (http:// would send secrets readable, so it is for loopback only)"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the closest known word, or with all of them when they are few. Never repeats ``word``."""
    known = sorted(known)
    close = difflib.get_close_matches(word[:100], known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(known)}" if 0 < len(known) <= 20 else ""
