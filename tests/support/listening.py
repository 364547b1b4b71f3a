"""Whoever is told of a run: a webhook and a mail server on this machine, and what Dagster tells a sensor.

What lives here: servers that write down what they hear. What does not: the tests.
"""

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from dagster import (
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
    RunStatusSensorContext,
    build_run_status_sensor_context,
)


def ended_run(instance: DagsterInstance, ran: ExecuteInProcessResult, sensor: str) -> RunStatusSensorContext:
    """What a sensor is told of a run that has ended."""
    kind = DagsterEventType.RUN_SUCCESS if ran.success else DagsterEventType.RUN_FAILURE
    return build_run_status_sensor_context(
        sensor_name=sensor,
        dagster_instance=instance,
        dagster_run=ran.dagster_run,
        dagster_event=next(event for event in ran.all_events if event.event_type == kind),
    )


class Heard:
    """What a webhook and a mail server were told."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.fetched: list[str] = []
        self.mailed: list[str] = []


@contextmanager
def listening() -> Iterator[tuple[Heard, int, int]]:
    """A webhook and a mail server on this machine, and their ports."""
    heard = Heard()

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def do_GET(self) -> None:
            heard.fetched.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Mail(socketserver.StreamRequestHandler):
        responses: ClassVar[dict[bytes, bytes]] = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}

        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line.split()[0].upper() if line.split() else b""
                self.wfile.write(self.responses.get(word, b"250 well") + b"\r\n")
                if word == b"DATA":
                    text = b""
                    while not text.endswith(b"\r\n.\r\n"):
                        text += self.rfile.readline()
                    heard.mailed.append(text.decode())
                    self.wfile.write(b"250 taken\r\n")

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as hook,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as mail,
    ):
        for server in (hook, mail):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield heard, hook.server_address[1], mail.server_address[1]
        finally:
            hook.shutdown()
            mail.shutdown()
