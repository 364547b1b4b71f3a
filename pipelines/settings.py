"""What a person configured: ``tollbook.toml`` and ``TOLLBOOK_CONFIG``, checked and typed.

What lives here: every key of the configuration file, its default and what it may be. What does not: where secrets are
and reading them (``secret_source``), what is made of the settings (``resources``), and finance's own CSV files
(``warehouse``).

A class here is a table of the file, its fields are the keys, and a field's ``description`` ends the sentence "expected
…" with which a wrong value is refused. A wrong configuration is refused whole, before anything runs. Messages name the
file, the key and what is expected, and never repeat a value: it might be a secret in the wrong place. Secrets are read
when they are asked for, not before.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo, available_timezones

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from assets.http.secret import Secret
from assets.http.urls import url_problem
from pipelines.secret_source import CONTROL, SecretSource, read_address, secret_source, why
from tollbook_errors import ConfigError
from warehouse.accounts import Account, plain_name
from warehouse.fraud import FraudRules
from warehouse.schema import FIRST_YEAR, LAST_YEAR
from warehouse.user_files import MIB, WrongFile, read_user_file

CONFIG_VARIABLE = "TOLLBOOK_CONFIG"
DEFAULT_FILE = "tollbook.toml"

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
MAX_FILE = MIB
MAX_BUNDLE = 8 * MIB
SHORTEST_RETENTION = 93  # days: what a night may read again or catch up with, and the month before this one
TOP_KEYS = ("tollbook", "connections", "alerts", "fraud")

# --- what a value may be ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where in the configuration a table is: its file, and how messages name it, such as ``connections[hq]``."""

    file: Path
    table: str

    def name_of(self, key: str) -> str:
        return f"{self.table}.{key}" if self.table else key

    def error(self, key: str, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.file}: {self.name_of(key)}: {what}", hint=hint)


def _place(info: ValidationInfo) -> Place:
    assert isinstance(info.context, Place)
    return info.context


def _refused(what: str, hint: str = "") -> PydanticCustomError:
    """A value is wrong in a way that the field's description does not tell."""
    return PydanticCustomError("refused", "refused", {"what": what, "hint": hint})


def _text(value: str) -> str:
    if not value.strip() or CONTROL.search(value):
        raise ValueError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and _text(each) for each in value):
        raise ValueError
    if len(set(value)) < len(value):
        raise ValueError
    return tuple(value)


def _one_or_more(value: object) -> tuple[str, ...]:
    return _texts([value] if isinstance(value, str) else value)


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (LookupError, ValueError, OSError):
        # LookupError: no such zone; OSError: a folder of zones, such as "Europe"; ValueError: no zone's name at all.
        raise _refused(f"expected {_ZONE}", nearest(value, available_timezones())) from None


def _region(value: str) -> str:
    if value not in SUPPORTED_REGIONS:
        raise ValueError
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str):
        raise ValueError
    return _place(info).file.parent / _text(value)


def _hours(value: object) -> timedelta:
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6})([hd])", value)):
        value = int(match[1]) * {"h": 1, "d": 24}[match[2]]
    # bool is an int in Python: `true` must not pass for 1.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 87_600:
        raise ValueError
    return timedelta(hours=value)


def _percent(value: object) -> Decimal:
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise ValueError
    number = Decimal(value)
    if not number.is_finite() or not 0 <= number <= 100:
        raise ValueError
    return number


def _secret(value: object, info: ValidationInfo) -> SecretSource:
    place = _place(info)
    source = secret_source(place.name_of(str(info.field_name)), value, place.file.parent)
    if source is None:
        raise _refused(f"expected {_SECRET}")
    return source


def _web_address(value: object, info: ValidationInfo) -> Secret | SecretSource:
    """An address that may hold a token: written out, or where it is."""
    if isinstance(value, Secret | SecretSource):
        return value
    if isinstance(value, str) and value.partition(":")[0] in ("http", "https"):
        if problem := url_problem(value, may_have_query=True):
            raise _refused(problem)
        return Secret(value, _place(info).name_of(str(info.field_name)))
    return _secret(value, info)


_TEXT = "a text in quotes, on one line and not empty"
_TEXTS = 'a list of different texts, such as ["2", "7"]'
_ZONE = 'an IANA time zone, such as "Europe/London"'
_REGION = 'an ISO 3166 country in two capitals, such as "GB"'
_CURRENCY = 'an ISO 4217 currency in three capitals, such as "EUR"'
_SECRET = "env:NAME or file:PATH: secrets are never written into the configuration"

DurationUnit = Literal["seconds", "minutes", "hours", "mm:ss", "h:mm", "hh:mm", "h:mm:ss", "hh:mm:ss"]
DURATION_UNITS: tuple[str, ...] = get_args(DurationUnit)
Text = Annotated[str, AfterValidator(_text)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Zone = Annotated[str, AfterValidator(_zone)]
Region = Annotated[str, AfterValidator(_region)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
FilePath = Annotated[Path, BeforeValidator(_path)]
SecretPlace = Annotated[SecretSource, BeforeValidator(_secret)]
WebAddress = Annotated[Secret | SecretSource, BeforeValidator(_web_address)]


def whole(default: int | None, low: int, high: int) -> Any:
    return Field(default, ge=low, le=high, description=f"a whole number from {low} to {high}")


def switch(*, default: bool) -> Any:
    return Field(default, description="true or false")


# --- the tables -------------------------------------------------------------------------------------------------------


class Table(BaseModel):
    """A table of the file. Values are taken as they are written: no text passes for a number, no ``true`` for 1."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        """The keys that may be written."""
        return tuple(cls.model_fields)


class Fields(Table):
    """TIM4biz's own names of what we read, and what its durations are in."""

    extension: Text | None = Field(None, description=_TEXT)
    name: Text | None = Field(None, description=_TEXT)
    calls: Text | None = Field(None, description=_TEXT)
    incoming: Text | None = Field(None, description=_TEXT)
    outgoing: Text | None = Field(None, description=_TEXT)
    duration_seconds: Text | None = Field(None, description=_TEXT)
    cost: Text | None = Field(None, description=_TEXT)
    duration_unit: DurationUnit | None = Field(None, description=" | ".join(DURATION_UNITS))


def _fields(value: object, info: ValidationInfo) -> tuple[tuple[str, str], ...]:
    place = _place(info)
    table = _read(Fields, Place(place.file, place.name_of("fields")), value)
    return tuple((key, name) for key, name in table if name is not None)


class Connection(Table):
    """One account at one vendor: ``[[connections]]``. What only some vendors have stands last, with its default."""

    secrets: ClassVar[tuple[str, ...]]
    """The keys of its secrets; the first tells accounts apart."""
    own: ClassVar[tuple[str, ...]] = ()
    """Of the keys that only some vendors have, those that this vendor has."""
    usual_url: ClassVar[str] = ""
    """Where the vendor's interface is, for everybody."""

    name: str = Field(
        pattern=NAME, description="at most 63 letters, digits, - and _, beginning with a letter or a digit"
    )
    vendor: str
    allow_http: bool = switch(default=False)
    url: str = Field(description="an address, such as https://pbx.example.com/")
    """Base address as configured: http or https, without user, query or fragment."""
    timezone: Zone = Field(description=_ZONE)
    """IANA name of the account's own zone, in which the vendor's naive times are read."""
    currency: Currency | None = Field(None, description=_CURRENCY)
    """ISO 4217; what the amounts are in where the vendor does not say."""
    ca_bundle: FilePath | None = Field(None, description=_TEXT)
    timeout_seconds: int = whole(60, 1, 3600)
    requests_per_hour: int | None = whole(None, 1, 10_000_000)
    """None: no budget is known, so requests are not paced."""
    max_in_flight: int = whole(4, 1, 64)
    max_answer_mib: int = whole(4, 1, 256)
    """The largest response that is read, unpacked; a load can take several times as much memory."""
    stale_after: Annotated[timedelta, BeforeValidator(_hours)] = Field(
        timedelta(hours=36), description='a whole number of hours from 1 to 87600, or a text such as "36h" or "2d"'
    )
    """For how long a good load of yesterday is good news."""

    region: Region = Field(description=_REGION)
    """ISO 3166 country in which numbers without a country code are read."""
    outside_line: str = Field("", pattern="^[0-9]{1,4}$", description='one to four digits in quotes, such as "9"')
    """Digits that are dialled for an outside line, before the number; empty where there are none."""
    tenants: Texts = Field((), description=_TEXTS)
    """Keys of PBXware's ``tenant.list``; empty means all."""
    key_in_url: bool = switch(default=True)
    """PBXware: ask by GET, with the key in the address; else by POST, with the key in a form."""
    count_by_status: bool = switch(default=True)
    """PBXware: ask for the number of records by status, which costs four requests a tenant and day."""
    fields: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_fields)] = ()
    """TIM4biz: pairs of (our name, the vendor's field name), and ``duration_unit`` with one of DURATION_UNITS."""
    reconciles: Texts = Field((), description=_TEXTS)
    """TIM4biz: the PBX connections whose calls its totals count; empty means all PBXware connections."""
    tolerance_seconds: int = whole(0, 0, 3600)
    """TIM4biz: seconds per call by which a total may differ from the PBX and still pass."""
    tolerance_percent: Annotated[Decimal, BeforeValidator(_percent)] = Field(
        Decimal(0), description="a number from 0 to 100"
    )
    """TIM4biz: percent by which seconds and cost may differ from the PBX and still pass."""

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        others = {key for vendor in VENDORS.values() for key in vendor.own} - {*cls.own}
        return tuple(key for key in cls.model_fields if key not in others)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str, info: ValidationInfo) -> str:
        if problem := url_problem(value, allow_http=info.data.get("allow_http", False)):
            raise _refused(problem, "allow_http = true permits it all the same" if "http://" in problem else "")
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def credentials(self) -> tuple[tuple[str, SecretSource], ...]:
        return tuple((key, getattr(self, key)) for key in self.secrets)

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
                raise ConfigError(
                    f"connections[{self.name}].ca_bundle: the file {why(error)}", hint="correct the key or the file"
                ) from None
        return self.ca_bundle


class PbxwareConnection(Connection):
    secrets = ("api_key",)
    own = ("tenants", "region", "outside_line", "key_in_url", "count_by_status")
    vendor: Literal["pbxware"]
    api_key: SecretPlace = Field(description=_SECRET)


class SipcentricConnection(Connection):
    secrets = ("username", "password")
    own = ("region", "outside_line")
    usual_url = "https://pbx.sipcentric.com/api/v1"
    vendor: Literal["sipcentric"]
    username: SecretPlace = Field(description=_SECRET)
    password: SecretPlace = Field(description=_SECRET)
    requests_per_hour: int | None = whole(1200, 1, 10_000_000)


class Tim4bizConnection(Connection):
    secrets = ("username", "password")
    own = ("fields", "reconciles", "tolerance_seconds", "tolerance_percent")
    usual_url = "https://api.tim4biz.com/api"
    vendor: Literal["tim4biz"]
    username: SecretPlace = Field(description=_SECRET)
    password: SecretPlace = Field(description=_SECRET)


class Time4vpsConnection(Connection):
    secrets = ("username", "password")
    usual_url = "https://billing.time4vps.com/api"
    vendor: Literal["time4vps"]
    username: SecretPlace = Field(description=_SECRET)
    password: SecretPlace = Field(description=_SECRET)
    timezone: Zone = Field("Europe/Vilnius", description=_ZONE)


VENDORS: Mapping[str, type[Connection]] = {
    "pbxware": PbxwareConnection,
    "sipcentric": SipcentricConnection,
    "tim4biz": Tim4bizConnection,
    "time4vps": Time4vpsConnection,
}
"""The union of connections, by the tag ``vendor``."""


class Alerts(Table):
    """``[alerts]``: whom to tell when a load fails; all optional."""

    model_config = ConfigDict(validate_default=True)

    webhook: WebAddress | None = Field(None, description=_SECRET)
    """Address to post to. Kept as a secret even when written out: such addresses often carry a token."""
    email_to: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = Field((), description=_TEXTS)
    """Mail addresses; with any, ``email_from`` and ``smtp_host`` are set too."""
    email_from: Text | None = Field(None, description=_TEXT)
    smtp_host: Text | None = Field(None, description=_TEXT)
    smtp_port: int = whole(25, 1, 65535)

    @field_validator("email_from", "smtp_host")
    @classmethod
    def _of_mail(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("email_to"):
            raise _refused(f"expected {_TEXT}", "with email_to this key is required")
        return value

    def webhook_url(self) -> Secret | None:
        """The webhook's address, read now; None when there is none. Raises ConfigError when it is no usable address."""
        return read_address(self.webhook)


class Fraud(Table):
    """``[fraud]``: the limits of ``FraudRules``, whose defaults they have."""

    model_config = ConfigDict(validate_default=True)

    opens: int = whole(FraudRules.opens, 0, 23)
    closes: int = whole(FraudRules.closes, 1, 24)
    open_weekends: bool = switch(default=FraudRules.open_weekends)
    out_of_hours_calls: int = whole(FraudRules.out_of_hours_calls, 1, 1_000_000)
    premium_calls: int = whole(FraudRules.premium_calls, 1, 1_000_000)
    nanp_calls: int = whole(FraudRules.nanp_calls, 1, 1_000_000)
    learning_days: int = whole(FraudRules.learning_days, 0, 3660)
    spike_times: int = whole(FraudRules.spike_times, 1, 1000)
    spike_minimum: int = whole(int(FraudRules.spike_minimum), 0, 1_000_000)

    @field_validator("closes")
    @classmethod
    def _after_opens(cls, value: int, info: ValidationInfo) -> int:
        if value <= info.data.get("opens", -1):
            raise _refused("expected an hour after the one of opens")
        return value

    def rules(self) -> FraudRules:
        return FraudRules(**{**dict(self), "spike_minimum": Decimal(self.spike_minimum)})


class Tollbook(Table):
    """``[tollbook]``. Paths are absolute once they are read."""

    data_dir: FilePath = Field("data", description=_TEXT, validate_default=True)
    timezone: Zone = Field("Europe/London", description=_ZONE)
    """IANA name of the zone whose days are business days."""
    reporting_currency: Currency = Field("GBP", description=_CURRENCY)
    lookback_days: int = whole(3, 0, 60)
    reference_dir: FilePath = Field("reference", description=_TEXT, validate_default=True)
    first_date: date = Field(
        date(2020, 1, 1),
        ge=date(FIRST_YEAR, 1, 1),
        le=date(LAST_YEAR, 12, 31),
        description="a date without quotes, such as 2024-01-31",
    )
    """First business day worth loading."""
    region: Region = Field("GB", description=_REGION)
    nightly: str = Field(
        "15 2 * * *",
        pattern="^(?:[0-9A-Za-z*/,-]+ ){4}[0-9A-Za-z*/,-]+$",
        description='a cron expression of five fields, such as "15 2 * * *"',
    )
    """When the schedule loads, in ``timezone``; what the five fields may hold is Dagster's to say."""
    retention_days: int | None = whole(None, SHORTEST_RETENTION, 36_500)
    """How many business days before today are kept at least; None: all."""
    long_call_hours: int = whole(12, 1, 720)
    """From how many hours on a leg makes its call a long one."""
    heartbeat: WebAddress | None = Field(None, description=_SECRET)
    """Address to call after each good night. Kept as a secret, as ``Alerts.webhook`` is."""
    pseudonym_key: SecretPlace | None = Field(None, description=_SECRET)
    """Where the key is under which numbers are published as pseudonyms; None: they are not."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Settings(Tollbook):
    """The whole configuration: ``[tollbook]`` and the other tables; ``path`` is the file it came from."""

    path: Path
    connections: tuple[Connection, ...]
    alerts: Alerts = Alerts()
    fraud: FraudRules = FraudRules()

    def read_pseudonym_key(self) -> bytes:
        """The key, read now. Raises ConfigError when it is missing or shorter than 16 bytes."""
        assert self.pseudonym_key is not None
        key = self.pseudonym_key.read().reveal().encode()
        if len(key) < 16:
            raise ConfigError(f"{self.pseudonym_key.key}: expected at least 16 characters", hint="openssl rand -hex 32")
        return key

    def heartbeat_url(self) -> Secret | None:
        """The heartbeat's address, read now; None when there is none. Raises ConfigError when it is no usable one."""
        return read_address(self.heartbeat)

    def connection(self, name: str) -> Connection:
        """The connection of this name. Raises ConfigError, with the closest known name, when there is none."""
        for connection in self.connections:
            if connection.name == name:
                return connection
        known = [connection.name for connection in self.connections]
        raise ConfigError(f"{self.path}: there is no connection of that name", hint=nearest(name, known))

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


# --- reading the file -------------------------------------------------------------------------------------------------


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
    top = _read_toml(path)
    _only(Place(path, ""), top, TOP_KEYS)
    main = _read(Tollbook, Place(path, "tollbook"), top.get("tollbook", {}))
    tables = top.get("connections")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise Place(path, "").error("connections", "expected at least one connection, each written [[connections]]")
    connections = tuple(_connection(path, number, table, main) for number, table in enumerate(tables, 1))
    _refuse_collisions(path, connections)
    _refuse_one_account_twice(path, connections, lambda source: (source.variable, source.file))
    _check_reconciles(path, connections)
    return Settings.model_construct(
        **dict(main),
        path=path,
        connections=connections,
        alerts=_read(Alerts, Place(path, "alerts"), top.get("alerts", {})),
        fraud=_read(Fraud, Place(path, "fraud"), top.get("fraud", {})).rules(),
    )


def _connection(file: Path, number: int, table: dict[str, Any], main: Tollbook) -> Connection:
    """One ``[[connections]]`` table: its vendor says which keys it has, ``[tollbook]`` what is not said in it."""
    name, vendor = table.get("name"), table.get("vendor")
    known = isinstance(name, str) and re.fullmatch(NAME.rstrip("$"), name)
    place = Place(file, f"connections[{name if known else f'#{number}'}]")
    model = VENDORS.get(vendor) if isinstance(vendor, str) else None
    if model is None:
        hint = nearest(vendor, VENDORS) if isinstance(vendor, str) else ""
        raise place.error("vendor", f"expected {' | '.join(VENDORS)}", hint)
    _only(place, table, model.known_keys(), f"a {vendor} connection")
    usual: dict[str, Any] = {"url": model.usual_url} if model.usual_url else {}
    usual |= {key: getattr(main, key) for key in ("timezone", "region") if model.model_fields[key].is_required()}
    return _read(model, place, usual | table)


def _refuse_collisions(file: Path, connections: tuple[Connection, ...]) -> None:
    """Names must differ, also in the spelling that Dagster's own names allow: lower case, ``_`` for ``-``."""
    seen: dict[str, str] = {}
    for connection in connections:
        other = seen.setdefault(plain_name(connection.name), connection.name)
        if other is not connection.name:
            what = f"expected a name of its own: case and - or _ make no difference, and connections[{other}] has it"
            raise Place(file, f"connections[{connection.name}]").error("name", what)


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


def _check_reconciles(file: Path, connections: tuple[Connection, ...]) -> None:
    exchanges = [connection.name for connection in connections if connection.vendor == "pbxware"]
    for connection in connections:
        for name in connection.reconciles:
            if name not in exchanges:
                place = Place(file, f"connections[{connection.name}]")
                hint = nearest(name, exchanges)
                raise place.error("reconciles", "expected names of pbxware connections of this file", hint)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # Windows editors begin a file with a byte order mark.
        content, _ = read_user_file(path, MAX_FILE)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        hint = f"write one, or say where it is with --config or {CONFIG_VARIABLE}"
        raise ConfigError(f"{path}: there is no such configuration file", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the configuration file is not UTF-8 text", hint="save it as UTF-8") from None
    except (OSError, WrongFile) as error:
        raise ConfigError(f"{path}: the configuration file {why(error)}", hint="correct the file or --config") from None
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        # Of the parser's message only the place is kept: it may quote the text.
        place = re.search(r"line \d+, column \d+|end of document", str(error))
        where = f"{place.group()}: " if place else ""
        hint = 'texts stand in quotes: timezone = "Europe/London"'
        raise ConfigError(f"{path}: {where}this is not TOML", hint=hint) from None


_T = TypeVar("_T", bound=Table)


def _read(model: type[_T], place: Place, values: object) -> _T:
    """A table as its model. Raises ConfigError at the first key that is not known, else that is wrong."""
    if not isinstance(values, dict):
        raise ConfigError(f"{place.file}: {place.table}: expected a table, written [{place.table}]")
    _only(place, values, model.model_fields)
    try:
        return model.model_validate(values, context=place)
    except ValidationError as error:
        wrong = _config_error(model, place, error.errors(include_url=False)[0])
    raise wrong  # out of the except: what pydantic says holds the value


def _only(place: Place, values: Iterable[str], known: Iterable[str], owner: str = "") -> None:
    """Refuse the first key that is not among ``known``; ``owner`` says whose keys those are."""
    known = tuple(known)
    for key in values:
        if key not in known:
            shown = key if re.fullmatch(NAME.rstrip("$"), key) else "a key that"
            what = f"is not a key of {owner}" if owner else "is not a key that tollbook knows"
            raise ConfigError(f"{place.file}: {place.name_of(shown)} {what}", hint=nearest(key, known))


def _config_error(model: type[Table], place: Place, error: ErrorDetails) -> ConfigError:
    """What pydantic found, in our words."""
    key = str(error["loc"][0])
    field, value = model.model_fields[key], error["input"]
    if error["type"] == "refused":
        return place.error(key, error["ctx"]["what"], error["ctx"]["hint"])
    hint = "this key is required" if error["type"] == "missing" else ""
    if error["type"] == "literal_error" and isinstance(value, str):
        hint = nearest(value, DURATION_UNITS)
    return place.error(key, f"expected {field.description}", hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the closest known word, or with all of them when they are few. Never repeats ``word``."""
    known = sorted(known)
    close = difflib.get_close_matches(word[:100], known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(known)}" if 0 < len(known) <= 20 else ""
