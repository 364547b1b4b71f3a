"""The one HTTP client that all vendors are asked through.

What lives here: retries within a deadline, the vendors' limits, and what a status means. What does not: what can go
wrong (``errors``), credentials (``auth``), addresses (``urls``), several requests at once (``pool``), one exchange
(``transport``), the request limit (``rate_limit``), exact JSON (``strict_json``), what is asked and when a reading is
complete (the vendors' ``api``).

Every request is a reading, also where it is a POST, so every request can be tried again. Retries happen here only.
Nothing that identifies a caller or a credential goes into a log line or an error: only endpoint names, statuses, sizes
and times.
"""

import logging
import random
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from assets.http import strict_json
from assets.http.auth import Auth
from assets.http.errors import Forbidden, HttpStatusError, RetryableError, ServerError, Unauthorized
from assets.http.pool import Pool, Slots, Stops
from assets.http.rate_limit import DAY, QuotaExhausted, RateLimit, resume_time
from assets.http.secret import MASK, Secret, spellings
from assets.http.transport import HttpTransport, RawResponse, Transport
from assets.http.urls import same_origin, url_problem
from tollbook_errors import AuthError, ConfigError, ContractError, SecurityError, TransientError

_R = TypeVar("_R")
_T = TypeVar("_T")

MIB = 1 << 20
FIRST_PAUSE_SECONDS = 0.5  # doubled with every try, and drawn at random below that
LONGEST_PAUSE_SECONDS = 30.0
DEFAULT_WAIT_SECONDS = 30.0  # after a 429 that says nothing; doubled with every one
STEP_SECONDS = 1.0  # of a long sleep; between two steps it can be ended
GARBLED_TRIES = 3  # a damaged response, or one that is no JSON, that comes so often is the response
_WANTED = frozenset({200})  # statuses of a response

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Response:
    """A vendor's response: ``body`` verbatim (UTF-8, no byte order mark, our key masked), ``data`` its exact value.

    ``fetched_at`` is UTC by our clock; ``headers`` are looked up without regard to case.
    """

    body: str = field(repr=False)
    data: Any = field(repr=False, compare=False)
    headers: Mapping[str, str] = field(repr=False)
    fetched_at: datetime
    status: int


@dataclass(frozen=True)
class Wait:
    """What a vendor's headers say: ``limit`` requests a window, ``remaining`` now, ``seconds`` until there are more."""

    limit: int | None
    remaining: int | None
    seconds: float | None


RateHeaders = Callable[[Mapping[str, str], int], Wait | None]


@dataclass(frozen=True)
class Timeouts:
    """How long is waited, in seconds.

    ``read``: for the server, each time. ``request``: for a request with its retries, without the time it is in our own
    queue or waits for the vendor's limit. Of the latter, ``asked_wait``: one wait that the vendor asks for; ``quota``:
    all of one request's waits.
    """

    read: float = 60.0
    request: float = 300.0
    asked_wait: float = 15 * 60.0
    quota: float = 65 * 60.0


@dataclass(frozen=True)
class Limits:
    """How often a request is tried, how many are on their way at once, and how large a response may be, unpacked.

    Once the server has left a request unanswered, one is on its way at once.
    """

    attempts: int = 10
    in_flight: int = 4
    body_bytes: int = 4 * MIB


@dataclass(frozen=True)
class Clock:
    """The time, and waiting: another one in tests."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Client:
    """One connection to one vendor, usable from many threads.

    ``posts_forms`` is for vendors that may be asked by GET or by POST: the latter is wanted. ``usual_path`` is where
    the vendor's interface usually is: tried where ``base_url`` has no path and nothing is found there. ``http://`` is
    for loopback hosts unless ``allow_http``; certificates are always verified, against ``ca_bundle`` or the well-known
    authorities. ``transport`` sends the requests; tests pass one that sends nothing.

    Raises ConfigError for an address or a ``ca_bundle`` that cannot be used.
    """

    def __init__(
        self,
        *,
        connection: str,
        base_url: str,
        auth: Auth,
        timeouts: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        ca_bundle: Path | None = None,
        allow_http: bool = False,
        rate_limit: RateLimit | None = None,
        posts_forms: bool = False,
        usual_path: str = "",
        clock: Clock = Clock(),
        transport: Transport | None = None,
    ) -> None:
        self.connection = connection
        self.max_in_flight = limits.in_flight
        self.posts_forms = posts_forms
        self._base_url = _checked_base(base_url, allow_http, connection)
        # Until something was answered: below which path else the vendor may be.
        self._other_path = usual_path.strip("/") if urlsplit(self._base_url).path == "/" else ""
        self._auth = auth
        self._timeouts = timeouts
        self._attempts = limits.attempts
        self._rate_limit = rate_limit
        self._clock = clock
        self.now = clock.now
        self._transport = transport or HttpTransport(
            connections=limits.in_flight,
            verify=_checked_bundle(ca_bundle, connection),
            max_body_bytes=limits.body_bytes,
        )
        # What is short or all digits stands in responses by chance, as a number or a word.
        telling = (key for key in auth.keys if len(key.reveal()) >= 8 and not key.reveal().isdigit())
        self._thrown_back = spellings(telling)
        self._parsing = threading.Lock()
        self._stops = Stops()
        self._slots = Slots(limits.in_flight, self._stops)
        self._lock = threading.Lock()
        self._closed_until = 0.0  # by the monotonic clock: the vendor said to wait
        self._told_until = 0.0  # the same: of waits until then people were told
        self._refusal: AuthError | None = None
        # Endpoints whose failure outlasted the retries: until one answers it is tried once. A list that is asked for a
        # hundred accounts would take an hour otherwise.
        self._down: set[str] = set()
        self.requests_made = 0
        self.retries = 0
        self.bytes_read = 0
        self.quota_waits_seconds = 0.0

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything of this connection that must never be shown."""
        return self._auth.secrets

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def request(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]] | Mapping[str, str],
        *,
        form: bool = False,
        endpoint: str,
        window: str = "",
        rate_headers: RateHeaders | None = None,
        remember_refusal: bool = True,
    ) -> Response:
        """Ask for ``path`` below the base address; ``params`` go into the query, or into the posted form.

        ``endpoint`` and ``window`` name the request in errors and logs. ``rate_headers`` reads the vendor's own limit
        headers, given a response's headers and status. Without ``remember_refusal`` a 401 is Unauthorized, and says
        nothing of other requests.

        Raises AuthError (401; Forbidden for 403), ConfigError (the account's limit is 0), QuotaExhausted,
        TransientError (network and server trouble that outlasted the retries), HttpStatusError (any other status than
        200), ContractError (not the JSON of a response, also when tried again) and SecurityError (a redirect elsewhere,
        TLS).
        """
        where = {"connection": self.connection, "endpoint": endpoint, "window": window}
        prepared = self._prepare(method, path, params, form, where)
        effort = _Effort(remember_refusal=remember_refusal)
        while True:
            failure: RetryableError | None = None
            try:
                response = self._try(prepared, effort, rate_headers, where)
                if response is not None:
                    self._other_path = ""
                    self._down.discard(endpoint)
                    return response
            except RetryableError as caught:
                failure = caught
            except HttpStatusError as error:
                if error.status != 404 or not self._other_path:
                    raise
                self._base_url, self._other_path = f"{self._base_url}{self._other_path}/", ""
                prepared = self._prepare(method, path, params, form, where)
            # Out of the except: what is raised from here must not drag the layers below along.
            if failure is not None:
                self._back_off(failure, effort, where)

    def parse(self, body: str, *, endpoint: str, window: str = "") -> Any:
        """The exact value of a body, as ``request`` gives it. Raises ContractError."""
        return strict_json.loads(body, connection=self.connection, endpoint=endpoint, window=window)

    def mark_unauthorized(self, error: AuthError) -> AuthError:
        """Remember that the vendor refused the credentials, so that nothing is sent with them again; gives ``error``.

        For vendors that say so in the body of a 200; a 401 is remembered by itself.
        """
        with self._lock:
            self._refusal = self._refusal or error
        return error

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """``function`` of every item, up to ``max_in_flight`` at once, in the order of the items.

        The first exception stops the rest, waits for the vendor's limit included, and is raised.
        """
        with self.pool() as pool:
            results: deque[Future[_R]] = deque()
            for item in items:
                results.append(pool.submit(function, item))
                if len(results) >= 2 * self.max_in_flight:
                    yield pool.result(results.popleft())
            while results:
                yield pool.result(results.popleft())

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """Threads for requests of this client. Leaving it ends what they have not begun, and their waits."""
        pool = Pool(self.max_in_flight, self.connection, self._stops)
        try:
            yield pool
        finally:
            pool.end()

    def _prepare(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]] | Mapping[str, str],
        form: bool,
        where: dict[str, str],
    ) -> requests.PreparedRequest:
        if not re.fullmatch(r"[A-Za-z0-9._~/-]*", path) or path.startswith("/") or ".." in path or "//" in path:
            raise SecurityError("a request's path would leave the base address", **where)
        pairs = [*self._auth.parameters(), *(params.items() if isinstance(params, Mapping) else params)]
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "tollbook"}
        return requests.Request(
            method,
            self._base_url + path,
            headers=headers | self._auth.headers(),
            params=[] if form else pairs,
            data=pairs if form else None,
        ).prepare()

    def _try(
        self,
        prepared: requests.PreparedRequest,
        effort: "_Effort",
        rate_headers: RateHeaders | None,
        where: dict[str, str],
    ) -> Response | None:
        """One try; None where the vendor said to wait and ask again."""
        with self._slots.taken():
            self._refuse_again(where)
            # Both waits are made while holding a slot: until they are over nobody else may send either.
            self._wait_until_open(effort, where)
            number = self._take_room(effort, where)
            try:
                raw = self._send(prepared, effort, where)
            except RetryableError as failure:
                if failure.unanswered:
                    self._go_one_by_one()
                raise
        fetched_at = self._clock.now()
        limits = rate_headers(raw.headers, raw.status) if rate_headers else None
        self._use_limits(limits, number)
        if raw.body is not None:
            return self._answer(raw, raw.body, fetched_at, where)
        if raw.status == 429:
            self._wait_after_429(raw, limits, effort, where)
            return None
        raise self._refused_status(raw, effort, where)

    def _send(self, prepared: requests.PreparedRequest, effort: "_Effort", where: dict[str, str]) -> RawResponse:
        started = self._clock.monotonic()
        raw: RawResponse | None = None
        try:
            raw = self._transport.exchange(
                prepared,
                timeout_seconds=self._timeouts.read,
                deadline_seconds=max(0.001, self._timeouts.request - effort.spent),
                wanted=_WANTED,
                where=where,
            )
            return raw
        finally:
            took = self._clock.monotonic() - started
            effort.spent += took
            status, size = (raw.status, raw.wire_bytes) if raw else (0, 0)
            with self._lock:
                self.requests_made += 1
                self.bytes_read += size
            _log.debug(
                "%s %s %s: status %d, %d bytes, %d ms",
                self.connection,
                prepared.method,
                where["endpoint"],
                status,
                size,
                1000 * took,
            )

    def _answer(self, raw: RawResponse, body: bytes, fetched_at: datetime, where: dict[str, str]) -> Response:
        garbled = ""
        with self._parsing:  # one at a time: no slower in Python, and what it takes in between is taken once
            try:
                text = strict_json.decode(body, **where)
                for spelling in self._thrown_back:  # a vendor that repeats our key: a response is landed, the key never
                    text = text.replace(spelling, MASK)
                data = strict_json.loads(text, **where)
            except strict_json.NoJson as error:
                garbled = error.what
        if garbled:
            raise RetryableError(garbled, garbled=True)
        return Response(text, data, CaseInsensitiveDict(raw.headers), fetched_at, raw.status)

    def _refused_status(self, raw: RawResponse, effort: "_Effort", where: dict[str, str]) -> Exception:
        status = raw.status
        if status == 401 and not effort.remember_refusal:
            return Unauthorized("the vendor refused the credentials (401)", **where)
        if status == 401:
            return self.mark_unauthorized(
                AuthError("the vendor refused the credentials (401)", **where, hint="check the connection's secrets")
            )
        if status == 403:
            return Forbidden(
                "the vendor does not allow this account to ask for this (403)",
                **where,
                hint="check the account's permissions and licence",
            )
        if (status >= 500 and status != 501) or status == 408:  # 501: it never will
            wait = _retry_after(raw.headers, self._clock.now()) or 0.0
            not_before = min(wait, LONGEST_PAUSE_SECONDS)
            return RetryableError(f"the server answered {status}", answered=True, not_before=not_before)
        if 200 < status < 300:
            return RetryableError(f"the server answered {status}", garbled=True)
        location = raw.headers.get("Location")
        if 300 <= status < 400 and location is not None and not same_origin(location, self._base_url):
            return SecurityError(f"the server redirects elsewhere ({status}); nothing was sent there", **where)
        hint = "correct the connection's url" if 300 <= status < 400 and status != 304 else ""
        return HttpStatusError(f"the server answered {status}", status=status, **where, hint=hint)

    def _use_limits(self, limits: Wait | None, number: int | None) -> None:
        """Keep to what the vendor's headers say remains."""
        if limits is None or limits.remaining is None or limits.limit == 0:  # no wait gives more of nothing
            return
        if self._rate_limit is not None and number is not None:
            self._rate_limit.learn(number, limits.remaining, limits.seconds)
        if limits.remaining == 0 and limits.seconds:
            self._hold(limits.seconds)

    def _wait_after_429(self, raw: RawResponse, limits: Wait | None, effort: "_Effort", where: dict[str, str]) -> None:
        """After a 429: hold everybody's requests for as long as the vendor says, if that is not too long."""
        if limits is not None and limits.limit == 0:
            raise ConfigError(
                "the account's API limit is 0", **where, hint="ask the vendor to raise it: waiting does not help"
            )
        asked = _retry_after(raw.headers, self._clock.now())
        window = limits.seconds if limits is not None else None
        wait = next((each for each in (asked, window) if each is not None), None)
        effort.too_many_requests += 1
        if wait is None:
            wait = min(DEFAULT_WAIT_SECONDS * 2 ** min(effort.too_many_requests - 1, 10), self._timeouts.asked_wait)
        # A vendor that asks for no wait at all and refuses again is not asked ever faster.
        wait = min(max(wait, min(60.0, 2.0 ** min(effort.too_many_requests - 1, 6))), DAY)
        # The end of the vendor's own window is worth a longer wait than a bare wish.
        longest = self._timeouts.quota if window is not None else min(self._timeouts.asked_wait, self._timeouts.quota)
        if wait > longest:
            # Not remembered beyond this run: an absurd wish would shut out the nights to come.
            raise self._exhausted(wait, where)
        self._hold(wait)
        if self._rate_limit is not None:
            self._rate_limit.pause(wait)

    def _exhausted(self, wait: float, where: dict[str, str]) -> QuotaExhausted:
        resume_at = resume_time(self._clock.now().timestamp(), wait)
        return QuotaExhausted("the vendor's request limit is reached", resume_at=resume_at, **where)

    def _hold(self, seconds: float) -> None:
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock.monotonic() + min(seconds, DAY))

    def _wait_until_open(self, effort: "_Effort", where: dict[str, str]) -> None:
        wait = self._closed_until - self._clock.monotonic()
        if wait > 0:
            if effort.waited + wait > self._timeouts.quota:
                raise self._exhausted(wait, where)
            self._wait_for_quota(wait, effort)
            self._refuse_again(where)

    def _take_room(self, effort: "_Effort", where: dict[str, str]) -> int | None:
        if self._rate_limit is None:
            return None
        number = self._rate_limit.acquire(
            max_wait_seconds=self._timeouts.quota - effort.waited,
            sleep=lambda seconds: self._wait_for_quota(seconds, effort),
            endpoint=where["endpoint"],
            window=where["window"],
        )
        self._refuse_again(where)
        return number

    def _wait_for_quota(self, seconds: float, effort: "_Effort") -> None:
        until = self._clock.monotonic() + seconds
        with self._lock:
            news, self._told_until = until > self._told_until + 5, max(until, self._told_until)
        if seconds > 10 and news:
            resume_at = f"{resume_time(self._clock.now().timestamp(), seconds):%Y-%m-%d %H:%M:%S} UTC"
            _log.warning("%s: waiting until %s for the vendor's request limit", self.connection, resume_at)
        self._pause(seconds)
        effort.waited += seconds
        with self._lock:
            self.quota_waits_seconds += seconds

    def _back_off(self, failure: RetryableError, effort: "_Effort", where: dict[str, str]) -> None:
        """Pause before the next try, or raise where there is none."""
        effort.attempts += 1
        effort.garbled += failure.garbled
        ceiling = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (effort.attempts - 1))
        pause = max(random.uniform(0, ceiling), failure.not_before)
        effort.spent += pause
        tries = 1 if where["endpoint"] in self._down else self._attempts
        last = effort.attempts >= tries or effort.spent >= self._timeouts.request
        if failure.garbled and effort.garbled >= min(GARBLED_TRIES, tries):
            raise ContractError(f"{failure}; tried {effort.attempts} times", **where)
        if last:
            self._down.add(where["endpoint"])
            raise (ServerError if failure.answered else TransientError)(
                f"{failure}; tried {effort.attempts} times", **where, hint="load again when the vendor is up"
            )
        with self._lock:
            self.retries += 1
        self._pause(pause)

    def _refuse_again(self, where: dict[str, str]) -> None:
        if self._refusal is not None:
            raise AuthError(self._refusal.what, **where, hint=self._refusal.hint)

    def _go_one_by_one(self) -> None:
        """Give up all slots but one, and the kept connections: a server may attend to one until that is closed."""
        if self._slots.leave_one():
            self._transport.close()
            if self.max_in_flight > 1:
                _log.warning("%s: a request was not answered in time; from now on they go one by one", self.connection)

    def _pause(self, seconds: float) -> None:
        """Sleep in steps, so that a pool that ends need not wait an hour for its threads."""
        while True:
            self._stops.check()
            if seconds <= 0:
                return
            self._clock.sleep(min(seconds, STEP_SECONDS))
            seconds -= STEP_SECONDS


@dataclass
class _Effort:
    """What one request may do, and has cost so far: tries, seconds on the wire and in pauses, and for the limit."""

    remember_refusal: bool = True
    attempts: int = 0
    garbled: int = 0
    too_many_requests: int = 0
    spent: float = 0.0
    waited: float = 0.0


def _checked_base(url: str, allow_http: bool, connection: str) -> str:
    """The base address, with a closing slash unless it names a script. Raises ConfigError, and does not quote it."""
    problem = url_problem(url, allow_http=allow_http)
    usable = False
    with suppress(ValueError, requests.RequestException):
        requests.Request("GET", url).prepare()
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        usable = parts.port != 0
    if problem or not usable:
        meant = "set allow_http = true if that is really meant" if "http://" in problem else ""
        raise ConfigError(
            f"url: {problem or 'expected the address of a server'}",
            connection=connection,
            hint=meant or "correct the connection's url",
        )
    return url if url.endswith(".php") else url.rstrip("/") + "/"


def _checked_bundle(path: Path | None, connection: str) -> str | bool:
    """The CA bundle for verifying, True for the well-known authorities. Raises ConfigError."""
    if path is None:
        return True
    problem = False
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError:
        problem = True
    if problem:
        raise ConfigError("ca_bundle is not a readable file of PEM certificates", connection=connection)
    return str(path)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for; None where it says nothing that makes sense."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,18}", text):
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    # By the server's own clock, where it tells: ours can be off.
    wait = (until - (_http_date(headers.get("Date", "")) or now)).total_seconds()
    return wait if wait >= 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
