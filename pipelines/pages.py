"""Dagster's pages and daemon, as `tollbook dev` serves them: for this machine's own pages, and for nobody else's.

What lives here: who is let in to the pages, and the two processes that keep them up, this one for the pages and one for
the daemon. What does not: the jobs and the schedule (``definitions``), where Dagster keeps its runs (``running``).

Dagster's pages have no login and answer whoever asks. A web page that somebody on this machine looks at can ask, too:
with an image whose address is a mutation, a form, a web socket, or under a name of its own that leads here. Each of
those is refused before Dagster sees it.
"""

import base64
import ctypes
import hmac
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import uvicorn
from dagster import DagsterInstance

# Dagster's own web server is put together of these two, and offers no public way to put anything before it.
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster.version import __version__
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from assets.http.secret import Secret
from pipelines.history import dagster_home, keep_to_one_data_dir
from pipelines.interruption import Interrupted
from pipelines.settings import Settings
from tollbook_errors import ConfigError, TollbookError
from warehouse.lake import Lake

MODULE = "pipelines.definitions"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
USER = "tollbook"
_GRACE_SECONDS = 5  # for requests under way when the pages are stopped
_DAEMON_SECONDS = 60  # for the daemon to stop


@dataclass(frozen=True)
class Access:
    """Who may use the pages: under which ``names`` besides loopback's, with which password, and whether to change."""

    host: str = "127.0.0.1"
    port: int = 3000
    names: Sequence[str] = ()
    password: Secret | None = None
    read_only: bool = False

    def check(self) -> None:
        """Raise ConfigError where more than this machine could come in without a password."""
        if self.host not in LOOPBACK and self.password is None:
            raise ConfigError(
                f"--host {self.host} lets other machines in, and Dagster's pages have no login",
                hint="add --password env:NAME or file:PATH; or leave --host out and put a web server in front",
            )


class OwnPagesOnly:
    """ASGI middleware that answers 403 to what a foreign web page asks for, and 401 to who lacks the password."""

    def __init__(self, app: ASGIApp, password: Secret | None = None) -> None:
        self.app = app
        self._login = base64.b64encode(f"{USER}:{password.reveal()}".encode()) if password is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        response = None
        if foreign := _foreign(scope, headers):
            response = PlainTextResponse(f"Tollbook: {foreign}\n", status_code=403)
        elif not self._knows_password(headers):
            challenge = {"WWW-Authenticate": 'Basic realm="Tollbook", charset="UTF-8"'}
            response = PlainTextResponse("Tollbook: a password is needed\n", status_code=401, headers=challenge)
        await (response or self.app)(scope, receive, send)

    def _knows_password(self, headers: Headers) -> bool:
        if self._login is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "basic" and hmac.compare_digest(given.strip().encode(), self._login)


def _foreign(scope: Scope, headers: Headers) -> str | None:
    """Why a request is not one of our own pages', in words; None where it is, or where no browser sent it."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return "this request comes from a page of another origin"
    # A link to a page may be followed from anywhere; nothing else may be asked for from elsewhere.
    followed = scope.get("method") == "GET" and headers.get("sec-fetch-dest") == "document"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed:
        return "this request comes from a page of another site"
    if scope.get("method") in ("GET", "HEAD") and "query" in parse_qs(scope["query_string"].decode("latin-1")):
        return "GraphQL is asked by POST only"
    return None


def serve(settings: Settings, access: Access) -> None:
    """Serve the pages and run the daemon until a signal ends both.

    ConfigError where more than this machine could come in without a password; StorageError where Dagster's home cannot
    be written; TollbookError when the daemon ends by itself, since nothing would be loaded any more.
    """
    access.check()
    Lake(settings.data_dir).check_writable()
    home = dagster_home(settings)
    if home.is_dir():  # else Dagster says that it is not
        keep_to_one_data_dir(home, settings.data_dir)
    os.environ |= {"DAGSTER_HOME": str(home), "TOLLBOOK_CONFIG": str(settings.path)}
    # As the daemon's -m means it: runs know their code by it.
    target = ModuleTarget(MODULE, None, str(Path.cwd()), None)
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target, __version__, read_only=access.read_only) as workspace,
        subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-m", MODULE], preexec_fn=_end_with_parent
        ) as daemon,
    ):
        try:
            server = uvicorn.Server(
                uvicorn.Config(
                    _guarded(workspace, access),
                    host=access.host,
                    port=access.port,
                    log_level="warning",
                    timeout_graceful_shutdown=_GRACE_SECONDS,
                )
            )
            threading.Thread(target=_stop_with, args=(server, daemon), daemon=True).start()
            click.echo(f"Dagster's pages: http://{access.host}:{access.port}   (Ctrl-C ends them)", err=True)
            server.run()
            by_itself = daemon.poll()
        except Interrupted:  # which is how this ends; the daemon may have had the same signal
            by_itself = None
        finally:  # whatever went wrong: the block would wait for the daemon for ever
            _end(daemon)
    if by_itself is not None:
        raise TollbookError(f"Dagster's daemon ended with exit code {by_itself}: nothing loads by itself without it")


def _end_with_parent() -> None:
    """Have the daemon end also where this process is killed: a later one would start another beside it. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG


def _guarded(workspace: WorkspaceProcessContext, access: Access) -> Starlette:
    """Dagster's own app behind the filter."""
    app = create_app_from_workspace_process_context(workspace)
    app.add_middleware(OwnPagesOnly, password=access.password)
    app.add_middleware(
        TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]", access.host, *access.names], www_redirect=False
    )
    return app


def _stop_with(server: uvicorn.Server, daemon: "subprocess.Popen[bytes]") -> None:
    daemon.wait()
    server.should_exit = True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_DAEMON_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
