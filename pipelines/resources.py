"""What the assets work with, made from the settings: HTTP clients, the lake, the database.

What lives here: the one place that turns settings into working objects, and the Dagster resource that hands them to the
assets. What does not: reading the settings (``settings``), what the objects do (``assets``, ``warehouse``).
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dagster import AssetExecutionContext, DagsterInstance, InitResourceContext, ResourceDefinition

from assets.http.auth import Auth, BasicAuth, ParameterKey
from assets.http.client import Client, Clock, Limits, Timeouts
from assets.http.rate_limit import RateLimit
from assets.http.secret import MaskSecrets
from assets.stream import Past, Progress, Source
from pipelines.load_window import default_window, keep_from
from pipelines.run_locks import hold_run_lock
from pipelines.settings import Connection, Settings
from tollbook_errors import ConfigError
from warehouse.database import Database
from warehouse.identity import Identity, Reading, hold, known_identity, login_digest
from warehouse.lake import Lake, utc_now
from warehouse.published import ask_public, public_file, same_records
from warehouse.update import Tolerance


class Runtime:
    """Everything a run needs, made once and lazily; the ``tollbook`` resource.

    ``watch`` is told of every step of a load; the command line draws its progress from it. ``now`` is the clock (UTC)
    that says when something was read, and so what its landing is called. ``patient``: whether vendors in trouble are
    waited for, as a load does; a person who checks a connection is not kept waiting.
    """

    def __init__(
        self,
        settings: Settings,
        watch: Callable[[Progress], None] | None = None,
        now: Callable[[], datetime] = utc_now,
        patient: bool = True,
    ) -> None:
        self.settings = settings
        self.patient = patient
        self.watch = watch or (lambda progress: None)
        self.now = now
        self._clients: dict[str, Client] = {}
        self._making = Lock()

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.settings.data_dir, self.now)

    @cached_property
    def database(self) -> Database:
        settings = self.settings
        tims = [connection for connection in settings.connections if connection.vendor == "tim4biz"]
        return Database(
            settings.data_dir,
            timezone=settings.timezone,
            reporting_currency=settings.reporting_currency,
            reference_dir=settings.reference_dir,
            tolerances={c.name: Tolerance(c.tolerance_seconds, c.tolerance_percent, c.tolerance_percent) for c in tims},
            reconciles={c.name: c.reconciles for c in tims if c.reconciles},
            pseudonym_key=settings.read_pseudonym_key if settings.pseudonym_key else None,
            fraud=settings.fraud,
            long_call_hours=settings.long_call_hours,
            connections={connection.name: connection.vendor for connection in settings.connections},
        )

    @cached_property
    def default_window(self) -> tuple[date, date]:
        """First and last business day of a run that was not told its days, the same for all of its steps."""
        return default_window(self.settings, self.now())

    def keep_from(self) -> date | None:
        """The first business day to keep now; None: everything is."""
        return keep_from(self.settings)

    def client(self, name: str) -> Client:
        """The HTTP client of a connection; one for the process, so that its budget and its connections are shared."""
        with self._making:
            if name not in self._clients:
                client = _client(self.settings.connection(name), self.settings.data_dir, self.now, self.patient)
                # Nothing of ours logs a secret; what a library logs of a request passes here.
                for handler in logging.getLogger().handlers:
                    handler.addFilter(MaskSecrets(client.secrets))
                self._clients[name] = client
            return self._clients[name]

    def hold(self, *, rebuilds: bool = False, records: bool = True) -> None:
        """Refuse (ConfigError) a configuration under which what is landed would be read otherwise, or counted twice.

        See ``warehouse.identity.hold``.
        """
        identities = [_identity(connection, self.lake, records) for connection in self.settings.connections]
        hold(self.lake, self.settings.timezone, identities, rebuilds=rebuilds, records=records)

    def refuse_same_records(self) -> None:
        """ConfigError where two connections hold the same records, by what is published."""
        same = ask_public(public_file(self.settings.data_dir), same_records)
        if same:
            raise ConfigError(
                f"{same[0]} and {same[1]} hold the same records: everything of them counts twice",
                hint="leave one in the configuration, move the folder of the other in raw out of the data "
                "directory, and run: tollbook rebuild",
            )

    def identity(self, name: str) -> Identity:
        """Whose account a connection is, as it is configured."""
        return _identity(self.settings.connection(name), self.lake, records=True)

    def source(self, name: str, context: AssetExecutionContext | None = None, load_id: str = "") -> Source:
        """What loading a connection needs; in a run the load is named after it.

        ConfigError where ``hold`` refuses, or one of finance's files is wrong: before any vendor is asked.
        """
        if context is not None:
            self.hold()
            self.refuse_same_records()
            self.database.read_reference()
        connection = self.settings.connection(name)
        known = known_identity(self.lake, name)
        source = self._source(connection, load_name(context.instance, context.run.run_id) if context else load_id)
        past = [
            Past(_read_as(source, each.before), each.generation, each.at) for each in (known.rereads if known else ())
        ]
        return replace(source, past=tuple(past))

    def _source(self, connection: Connection, load_id: str) -> Source:
        return Source(
            name=connection.name,
            vendor=connection.vendor,
            lake=self.lake,
            client=lambda: self.client(connection.name),
            zone=self.settings.zone,
            account_zone=connection.zone,
            region=connection.region,
            outside_line=connection.outside_line,
            currency=connection.currency,
            tenants=connection.tenants,
            count_by_status=connection.count_by_status,
            fields=dict(connection.fields),
            load_id=load_id,
            watch=self.watch,
        )


def _identity(connection: Connection, lake: Lake, records: bool) -> Identity:
    try:
        # The first is the user name, or PBXware's key.
        login = login_digest(lake, connection.credentials[0][1].read().reveal(), records=records)
    except ConfigError:  # what needs no vendor goes without
        login = None
    return Identity(
        connection.name,
        connection.account(login),
        Reading(
            connection.currency,
            connection.timezone,
            connection.region,
            connection.outside_line,
            dict(connection.fields),
        ),
    )


def _read_as(source: Source, reading: Reading) -> Source:
    """A connection as it was configured when its responses were read so."""
    return replace(
        source,
        currency=reading.currency,
        account_zone=ZoneInfo(reading.timezone),
        region=reading.region,
        outside_line=reading.outside_line,
        fields=dict(reading.fields),
    )


def load_name(instance: DagsterInstance, run_id: str) -> str:
    """A load's name: when its run was created, and which run it is; sorts by time."""
    record = instance.get_run_record_by_id(run_id)
    created = record.create_timestamp if record else datetime.now(UTC)
    return f"{created.astimezone(UTC):%Y%m%dT%H%M%SZ}-{run_id[:8]}"


def tollbook_resource(make: Callable[[], Runtime]) -> ResourceDefinition:
    """The resource that assets ask for: made for each run, whose lock is held while it has it."""

    def lend(context: InitResourceContext) -> Iterator[Runtime]:
        run = context.run if context.instance else None
        with hold_run_lock(context.instance, run.run_id) if context.instance and run else nullcontext():
            yield make()

    return ResourceDefinition(lend, description="Settings, HTTP clients, lake and database of Tollbook")


def _client(connection: Connection, data_dir: Path, now: Callable[[], datetime], patient: bool) -> Client:
    rate_limit = None
    if connection.requests_per_hour:
        rate_limit = RateLimit(data_dir / "state" / "budget", connection.name, connection.requests_per_hour)
    timeouts = Timeouts(read=connection.timeout_seconds)
    if not patient:
        timeouts = replace(timeouts, asked_wait=15.0, quota=15.0)
    return Client(
        connection=connection.name,
        base_url=connection.url,
        auth=_auth(connection),
        timeouts=timeouts,
        limits=Limits(
            attempts=10 if patient else 3,
            in_flight=connection.max_in_flight,
            body_bytes=connection.max_answer_mib << 20,
        ),
        ca_bundle=connection.certificates(),
        allow_http=connection.allow_http,
        rate_limit=rate_limit,
        posts_forms=not connection.key_in_url,
        usual_path=urlsplit(connection.usual_url).path,
        clock=Clock(now=now),
    )


def _auth(connection: Connection) -> Auth:
    if connection.vendor == "pbxware":
        return ParameterKey("apikey", connection.secret("api_key"))
    return BasicAuth(connection.secret("username"), connection.secret("password"))
