"""Telling somebody: the webhook and mail of ``[alerts]``, and the heartbeat after a good night.

What lives here: the sending, which is short, bounded and never raises. What does not: when there is something to tell
(``sensors``, ``running``). What is sent was written to be shown; it holds no secret, and nothing here logs an address.
"""

import json
import logging
import smtplib
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from io import BufferedReader, RawIOBase
from threading import Thread
from typing import Any

import requests

from assets.http.errors import RetryableError
from assets.http.secret import Secret
from assets.http.transport import HttpTransport
from pipelines.freshness import read_freshness
from pipelines.settings import Alerts, Settings
from tollbook_errors import TollbookError, TransientError

MOST_REPLIED = 64 * 1024  # bytes of a mail server's replies
SECONDS = 10.0  # for everything that is sent at once, from looking up the name to the last byte of the response
log = logging.getLogger("tollbook.alerts")


def send_alert(alerts: Alerts, text: str) -> bool:
    """Log ``text`` and send it every configured way. Whether somebody got it; True where the log is the only way."""
    log.error("%s", text)
    ways: dict[str, Callable[[], None]] = {}
    if alerts.webhook:
        ways["webhook"] = lambda: _post(alerts, text)
    if alerts.email_to:
        ways["mail"] = lambda: _mail(alerts, text)
    return not ways or bool(_send(ways))


def send_heartbeat(settings: Settings) -> str:
    """Call the heartbeat's address where all is well; what came of it, in a few words. Called after a good load."""
    if settings.heartbeat is None:
        return "there is none"
    try:
        missed = [each.connection for each in read_freshness(settings) if each.stale or each.failed]
    except TollbookError as error:
        return f"not sent: {error}"
    if missed:
        return f"not sent: the last night of {', '.join(missed)} was not a good one; see: tollbook status"
    return "sent" if _send({"heartbeat": lambda: _get(settings)}) else "not sent: its address could not be reached"


def _send(ways: Mapping[str, Callable[[], None]]) -> list[str]:
    """Try all ways at the same time, whatever comes of one; those that arrived. The others are logged."""
    arrived: list[str] = []

    def attempt(name: str, way: Callable[[], None]) -> None:
        try:
            way()
        except Exception as error:  # nothing may go on from here, and only what we wrote ourselves is fit to be shown
            reason = str(error) if isinstance(error, TollbookError | RetryableError) else type(error).__name__
            log.error("the %s could not be reached: %s", name, reason)
        else:
            arrived.append(name)

    # A thread ends a wait that no timeout does, such as a mail server that says a word now and then.
    threads = {name: Thread(target=attempt, args=(name, way), daemon=True) for name, way in ways.items()}
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + SECONDS
    for name, thread in threads.items():
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            log.error("the %s could not be reached within %.0f seconds", name, SECONDS)
    return list(arrived)


def _post(alerts: Alerts, text: str) -> None:
    _exchange(
        "POST", alerts.webhook_url(), data=json.dumps({"text": text}), headers={"Content-Type": "application/json"}
    )


def _get(settings: Settings) -> None:
    _exchange("GET", settings.heartbeat_url())


def _exchange(method: str, address: Secret | None, **content: Any) -> None:
    """One request. Of the response only the status is looked at; a redirect is not followed."""
    if address is None:
        return
    wire = HttpTransport(connections=1, verify=True, max_body_bytes=0)
    try:
        request = requests.Request(method, address.reveal(), **content).prepare()
        reply = wire.exchange(request, timeout_seconds=SECONDS, deadline_seconds=SECONDS, wanted=frozenset(), where={})
    finally:
        wire.close()
    if not 200 <= reply.status < 300:
        raise TransientError(f"it answered with status {reply.status}")


def _mail(alerts: Alerts, text: str) -> None:
    message = EmailMessage()
    message["Subject"] = text.splitlines()[0]
    message["From"] = alerts.email_from
    message["To"] = ", ".join(alerts.email_to)
    message.set_content(text)
    server = _MailServer(timeout=SECONDS)
    try:
        server.connect(alerts.smtp_host or "", alerts.smtp_port)
        server.send_message(message)
        # It has the message: whether it also says good-bye is not waited for.
        with suppress(OSError, smtplib.SMTPException):
            server.putcmd("quit")
    finally:
        server.close()


class _MailServer(smtplib.SMTP):
    """A mail server of which a few kB are read, until SECONDS are over, however it goes on."""

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:  # as smtplib does, but bounded
            self.file = BufferedReader(_Replies(self.sock, time.monotonic() + SECONDS))
        return super().getreply()


class _Replies(RawIOBase):
    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket, self._until, self._left = connected, until, MOST_REPLIED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._until - time.monotonic()
        if seconds <= 0 or self._left <= 0:
            raise TimeoutError
        self._socket.settimeout(seconds)
        count = self._socket.recv_into(buffer)
        self._left -= count
        return count
