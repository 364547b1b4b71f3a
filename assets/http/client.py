"""The one HTTP client that all vendors are asked through.

What lives here: credentials, retries within a deadline, the vendors' limits, what a status means, several requests at
once, and reading links without following them. What does not: one exchange on the wire (``wire``), the request limit
(``rate_limit``), exact JSON (``strict_json``), what is asked and when a reading is complete (the vendor modules).

Every request is a reading, also where it is a POST, so every request can be tried again. Retries happen here only.
Nothing that identifies a caller or a credential goes into a log line or an error: only endpoint names, statuses, sizes
and times.
"""

import ipaddress
import logging
import random
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from assets.http import strict_json
from assets.http.rate_limit import DAY, QuotaExhausted, RateLimit, resume_time
from assets.http.secret import MASK, Secret, basic_token, spellings
from assets.http.transport import RawResponse, RetryableError, Transport
from tollbook_errors import AuthError, ConfigError, ContractError, SecurityError, TollbookError, TransientError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")

MIB = 1 << 20
FIRST_PAUSE_SECONDS = 0.5  # doubled with every try, and drawn at random below that
LONGEST_PAUSE_SECONDS = 30.0
DEFAULT_WAIT_SECONDS = 30.0  # after a 429 that says nothing; doubled with every one
STEP_SECONDS = 1.0  # of a long sleep; between two steps it can be ended
GARBLED_TRIES = 3  # a damaged response, or one that is no JSON, that comes so often is the response
_WANTED = frozenset({200})  # statuses of a response
_NOT_OFFERED = frozenset({404, 405, 406, 410, 501})  # statuses of what a release does not have

_log = logging.getLogger(__name__)


class HttpStatusError(ContractError):
    """The vendor answered with a status that the request does not allow for."""

    def __init__(
        self, what: str, *, status: int, connection: str = "", endpoint: str = "", window: str = "", hint: str = ""
    ) -> None:
        super().__init__(what, connection=connection, endpoint=endpoint, window=window, hint=hint)
        self.status = status


class Forbidden(AuthError):
    """The vendor knows who asks, and does not allow it (403); other things it may allow."""


class ServerError(TransientError):
    """The server is there, and its response is an error of its own (5xx) however often it is asked."""


class Unauthorized(AuthError):
    """A 401 to a request whose caller can tell what it means: nothing was remembered of it."""


class Refused(ContractError):
    """The vendor answered with an error that is not about the credentials themselves."""


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


class Auth:
    """How a request proves who asks: what is added to its headers and its parameters."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that must be masked."""
        return ()

    @property
    def keys(self) -> tuple[Secret, ...]:
        """Of the secrets those that no vendor's data hold rightly, as they do user names."""
        return self.secrets

    def headers(self) -> dict[str, str]:
        return {}

    def parameters(self) -> list[tuple[str, str]]:
        return []


@dataclass(frozen=True)
class BasicAuth(Auth):
    """User name and password as HTTP Basic, in UTF-8."""

    username: Secret
    password: Secret

    def __post_init__(self) -> None:
        if ":" in self.username.reveal():
            raise ConfigError("a user name cannot hold a colon", hint="check username")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return (self.username, *self.keys)

    @property
    def keys(self) -> tuple[Secret, ...]:
        return (self.password, basic_token(self.username, self.password))

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {basic_token(self.username, self.password).reveal()}"}


@dataclass(frozen=True)
class ParameterKey(Auth):
    """A key as one more parameter: in the form where that is posted, else in the address."""

    parameter: str
    secret: Secret

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return (self.secret,)

    def parameters(self) -> list[tuple[str, str]]:
        return [(self.parameter, self.secret.reveal())]


class Client:
    """One connection to one vendor, usable from many threads.

    ``timeout_seconds`` bounds each wait for the server; ``deadline_seconds`` bounds a request with its retries, but not
    the time it stands in our own queue or waits for the vendor's limit. Of the latter, ``max_wait_seconds`` bounds one
    wait that the vendor asks for and ``quota_seconds`` all of one request's waits. ``max_in_flight`` requests are on
    their way at once; once the server has left one unanswered, one. ``posts_forms`` is for vendors that may be asked by
    GET or by POST: the latter is wanted.
    ``usual_path`` is where the vendor's interface usually is: tried where ``base_url`` has no path and nothing is found
    there. ``http://`` is for loopback hosts unless ``allow_http``; certificates are always verified, against
    ``ca_bundle`` or the well-known authorities.

    Raises ConfigError for an address or a ``ca_bundle`` that cannot be used.
    """

    def __init__(
        self,
        *,
        connection: str,
        base_url: str,
        auth: Auth,
        timeout_seconds: float = 60.0,
        deadline_seconds: float = 300.0,
        max_wait_seconds: float = 15 * 60.0,
        quota_seconds: float = 65 * 60.0,
        max_attempts: int = 10,
        max_in_flight: int = 4,
        ca_bundle: Path | None = None,
        allow_http: bool = False,
        rate_limit: RateLimit | None = None,
        posts_forms: bool = False,
        usual_path: str = "",
        max_body_bytes: int = 4 * MIB,
        user_agent: str = "tollbook",
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.connection = connection
        self.max_in_flight = max_in_flight
        self.posts_forms = posts_forms
        self._base_url = _checked_base(base_url, allow_http, connection)
        # Until something was answered: below which path else the vendor may be.
        self._other_path = usual_path.strip("/") if urlsplit(self._base_url).path == "/" else ""
        self._auth = auth
        self._timeout_seconds = timeout_seconds
        self._deadline_seconds = deadline_seconds
        self._max_wait_seconds = max_wait_seconds
        self._quota_seconds = quota_seconds
        self._max_attempts = max_attempts
        self._rate_limit = rate_limit
        self._user_agent = user_agent
        self._sleep = sleep
        self._monotonic = monotonic
        self.now = now
        self._wire = Transport(
            connections=max_in_flight, verify=_checked_bundle(ca_bundle, connection), max_body_bytes=max_body_bytes
        )
        # What is short or all digits stands in responses by chance, as a number or a word.
        telling = (key for key in auth.keys if len(key.reveal()) >= 8 and not key.reveal().isdigit())
        self._thrown_back = spellings(telling)
        self._parsing = threading.Lock()
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._surplus: int | None = None  # slots to be given up as they come free; None: all are in use
        self._lock = threading.Lock()
        self._stops = threading.local()
        self._closed_until = 0.0  # by the monotonic clock: the vendor said to wait
        self._told_until = 0.0  # the same: of waits until then people were told
        self._refusal: AuthError | None = None
        # Endpoints whose trouble outlasted the retries: until one answers it is tried once. A list that is asked for a
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
        self._wire.close()

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
            trouble: RetryableError | None = None
            try:
                response = self._try(prepared, effort, rate_headers, where)
                if response is not None:
                    self._other_path = ""
                    self._down.discard(endpoint)
                    return response
            except RetryableError as caught:
                trouble = caught
            except HttpStatusError as error:
                if error.status != 404 or not self._other_path:
                    raise
                self._base_url, self._other_path = f"{self._base_url}{self._other_path}/", ""
                prepared = self._prepare(method, path, params, form, where)
            # Out of the except: what is raised from here must not drag the layers below along.
            if trouble is not None:
                self._back_off(trouble, effort, where)

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
    def pool(self) -> Iterator["Pool"]:
        """Threads for requests of this client. Leaving it ends what they have not begun, and their waits."""
        pool = Pool(self)
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
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": self._user_agent}
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
        with self._slot():
            self._refuse_again(where)
            # Both waits are made while holding a slot: until they are over nobody else may send either.
            self._wait_until_open(effort, where)
            number = self._take_room(effort, where)
            raw = self._send(prepared, effort, where)
        fetched_at = self.now()
        limits = rate_headers(raw.headers, raw.status) if rate_headers else None
        self._use_limits(limits, number)
        if raw.body is not None:
            return self._answer(raw, raw.body, fetched_at, where)
        if raw.status == 429:
            self._use_refusal(raw, limits, effort, where)
            return None
        raise self._refused_status(raw, effort, where)

    def _send(self, prepared: requests.PreparedRequest, effort: "_Effort", where: dict[str, str]) -> RawResponse:
        started = self._monotonic()
        raw: RawResponse | None = None
        try:
            raw = self._wire.exchange(
                prepared,
                timeout_seconds=self._timeout_seconds,
                deadline_seconds=max(0.001, self._deadline_seconds - effort.spent),
                wanted=_WANTED,
                where=where,
            )
            return raw
        finally:
            took = self._monotonic() - started
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
            wait = _retry_after(raw.headers, self.now()) or 0.0
            not_before = min(wait, LONGEST_PAUSE_SECONDS)
            return RetryableError(f"the server answered {status}", answered=True, not_before=not_before)
        if 200 < status < 300:
            return RetryableError(f"the server answered {status}", garbled=True)
        location = raw.headers.get("Location")
        if 300 <= status < 400 and location is not None and not _same_origin(location, self._base_url):
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

    def _use_refusal(self, raw: RawResponse, limits: Wait | None, effort: "_Effort", where: dict[str, str]) -> None:
        """After a 429: hold everybody's requests for as long as the vendor says, if that is not too long."""
        if limits is not None and limits.limit == 0:
            raise ConfigError(
                "the account's API limit is 0", **where, hint="ask the vendor to raise it: waiting does not help"
            )
        asked = _retry_after(raw.headers, self.now())
        window = limits.seconds if limits is not None else None
        wait = next((each for each in (asked, window) if each is not None), None)
        effort.refusals += 1
        if wait is None:
            wait = min(DEFAULT_WAIT_SECONDS * 2 ** min(effort.refusals - 1, 10), self._max_wait_seconds)
        # A vendor that asks for no wait at all and refuses again is not asked ever faster.
        wait = min(max(wait, min(60.0, 2.0 ** min(effort.refusals - 1, 6))), DAY)
        # The end of the vendor's own window is worth a longer wait than a bare wish.
        longest = self._quota_seconds if window is not None else min(self._max_wait_seconds, self._quota_seconds)
        if wait > longest:
            # Not remembered beyond this run: an absurd wish would shut out the nights to come.
            raise self._exhausted(wait, where)
        self._hold(wait)
        if self._rate_limit is not None:
            self._rate_limit.pause(wait)

    def _exhausted(self, wait: float, where: dict[str, str]) -> QuotaExhausted:
        resume_at = resume_time(self.now().timestamp(), wait)
        return QuotaExhausted("the vendor's request limit is reached", resume_at=resume_at, **where)

    def _hold(self, seconds: float) -> None:
        with self._lock:
            self._closed_until = max(self._closed_until, self._monotonic() + min(seconds, DAY))

    def _wait_until_open(self, effort: "_Effort", where: dict[str, str]) -> None:
        wait = self._closed_until - self._monotonic()
        if wait > 0:
            if effort.waited + wait > self._quota_seconds:
                raise self._exhausted(wait, where)
            self._wait_for_quota(wait, effort)
            self._refuse_again(where)

    def _take_room(self, effort: "_Effort", where: dict[str, str]) -> int | None:
        if self._rate_limit is None:
            return None
        number = self._rate_limit.acquire(
            max_wait_seconds=self._quota_seconds - effort.waited,
            sleep=lambda seconds: self._wait_for_quota(seconds, effort),
            endpoint=where["endpoint"],
            window=where["window"],
        )
        self._refuse_again(where)
        return number

    def _wait_for_quota(self, seconds: float, effort: "_Effort") -> None:
        until = self._monotonic() + seconds
        with self._lock:
            news, self._told_until = until > self._told_until + 5, max(until, self._told_until)
        if seconds > 10 and news:
            resume_at = f"{resume_time(self.now().timestamp(), seconds):%Y-%m-%d %H:%M:%S} UTC"
            _log.warning("%s: waiting until %s for the vendor's request limit", self.connection, resume_at)
        self._pause(seconds)
        effort.waited += seconds
        with self._lock:
            self.quota_waits_seconds += seconds

    def _back_off(self, trouble: RetryableError, effort: "_Effort", where: dict[str, str]) -> None:
        """Pause before the next try, or raise where there is none."""
        effort.attempts += 1
        effort.garbled += trouble.garbled
        ceiling = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (effort.attempts - 1))
        pause = max(random.uniform(0, ceiling), trouble.not_before)
        effort.spent += pause
        tries = 1 if where["endpoint"] in self._down else self._max_attempts
        last = effort.attempts >= tries or effort.spent >= self._deadline_seconds
        if trouble.garbled and effort.garbled >= min(GARBLED_TRIES, tries):
            raise ContractError(f"{trouble}; tried {effort.attempts} times", **where)
        if last:
            self._down.add(where["endpoint"])
            raise (ServerError if trouble.answered else TransientError)(
                f"{trouble}; tried {effort.attempts} times", **where, hint="load again when the vendor is up"
            )
        with self._lock:
            self.retries += 1
        self._pause(pause)

    def _refuse_again(self, where: dict[str, str]) -> None:
        if self._refusal is not None:
            raise AuthError(self._refusal.what, **where, hint=self._refusal.hint)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        while not self._slots.acquire(timeout=1.0):
            self._check_stopped()
        try:
            yield
        except RetryableError as trouble:
            if trouble.unanswered:
                self._go_one_by_one()
            raise
        finally:
            with self._lock:
                if self._surplus:
                    self._surplus -= 1
                else:
                    self._slots.release()

    def _go_one_by_one(self) -> None:
        """Give up all slots but one, and the kept connections: a server may attend to one until that is closed."""
        with self._lock:
            if self._surplus is not None:
                return
            self._wire.close()
            free = sum(self._slots.acquire(blocking=False) for _ in range(self.max_in_flight - 1))
            self._surplus = self.max_in_flight - 1 - free
        if self.max_in_flight > 1:
            _log.warning("%s: a request was not answered in time; from now on they go one by one", self.connection)

    def _pause(self, seconds: float) -> None:
        """Sleep in steps, so that a pool that ends need not wait an hour for its threads."""
        while True:
            self._check_stopped()
            if seconds <= 0:
                return
            self._sleep(min(seconds, STEP_SECONDS))
            seconds -= STEP_SECONDS

    def _check_stopped(self) -> None:
        if any(stop.is_set() for stop in getattr(self._stops, "events", ())):
            raise Stopped


class Stopped(Exception):
    """A request was given up because the pool it belongs to is ending. Nobody outside sees this."""


class Pool:
    """Threads that ask one client; made by ``Client.pool``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stop = threading.Event()
        # A pool inside a pool's thread ends with the outer one.
        self._events: tuple[threading.Event, ...] = (*getattr(client._stops, "events", ()), self._stop)
        self._first: BaseException | None = None
        self._threads = ThreadPoolExecutor(client.max_in_flight, thread_name_prefix=client.connection)

    def submit(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Call ``function`` in a thread; its exception stops the whole pool."""

        def run() -> _R:
            self._client._stops.events = self._events
            try:
                self._client._check_stopped()
                return function(*args, **kwargs)
            except BaseException as error:
                with self._client._lock:
                    self._first = self._first or error
                self._stop.set()
                raise

        return self._threads.submit(run)

    def result(self, future: Future[_R]) -> _R:
        """What the call gave. Raises the pool's first exception, whichever call it came from."""
        while True:
            if self._first is not None:
                raise self._first
            try:
                return future.result(timeout=0.5)
            except TimeoutError:
                if future.done():
                    raise
            except Stopped:
                continue

    def end(self) -> None:
        """Let running calls end, cut their waits short, and begin no others."""
        self._stop.set()
        self._threads.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Effort:
    """What one request may do, and has cost so far: tries, seconds on the wire and in pauses, and for the limit."""

    remember_refusal: bool = True
    attempts: int = 0
    garbled: int = 0
    refusals: int = 0
    spent: float = 0.0
    waited: float = 0.0


def if_available(read: Callable[[], _T]) -> _T | None:
    """What ``read`` gives; None where the vendor has no such thing, or keeps it from this account."""
    try:
        return read()
    except (Forbidden, ContractError) as error:
        if not is_not_offered(error):
            raise
        return None


def is_not_offered(error: TollbookError) -> bool:
    """Whether this is the vendor's own word that it has no such thing, or keeps it from this account."""
    if isinstance(error, HttpStatusError):
        return error.status in _NOT_OFFERED
    return isinstance(error, (Forbidden, Refused))


def link_query(link: str | None) -> dict[str, str]:
    """The query parameters of a link that a server sent, which is never fetched; {} where unreadable or hostile."""
    if not isinstance(link, str) or len(link) > 8192 or re.search(r"[\x00-\x20\x7f\\]", link):
        return {}
    try:
        parts = urlsplit(link)
        pairs = parse_qsl(parts.query, keep_blank_values=True, errors="strict", max_num_fields=100)
        known = parts.scheme in {"", "http", "https"} and parts.username is None and parts.password is None
    except ValueError:
        return {}
    query = dict(pairs)
    readable = len(query) == len(pairs) and all(text.isprintable() for pair in pairs for text in pair)
    return query if known and readable else {}


def _checked_base(url: str, allow_http: bool, connection: str) -> str:
    """The base address, with a closing slash unless it names a script. Raises ConfigError, and does not quote it."""
    host = None
    with suppress(ValueError, requests.RequestException):
        parts = urlsplit(url)
        requests.Request("GET", url).prepare()
        (parts.hostname or "").encode("idna")
        host = parts.hostname if parts.port != 0 else None
    if not host or parts.scheme not in {"http", "https"} or re.search(r"[\x00-\x20\\]", url):
        raise ConfigError("url is not an http or https address", connection=connection)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("url must have no user, query or fragment", connection=connection)
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigError(
            "url must be https: credentials would travel readable",
            connection=connection,
            hint="set allow_http = true if that is really meant",
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _same_origin(location: str, base_url: str) -> bool:
    """Whether a redirect stays on the server; what cannot be read does not."""
    if re.search(r"[\x00-\x20\\]", location):
        return False
    try:
        target = urlsplit(urljoin(base_url, location))
        return target.username is None and _origin(target) == _origin(urlsplit(base_url))
    except ValueError:
        return False


def _origin(parts: Any) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


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
