"""Where secrets are: ``env:NAME`` or ``file:PATH``, and reading them from there.

What lives here: the places of secrets, what is refused of their content, and what about a place somebody should look
at. What does not: the keys that name the places (``settings``), and the secret itself (``assets.http.secret``).
"""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from assets.http.secret import Secret
from assets.http.urls import url_problem
from tollbook_errors import ConfigError
from warehouse.user_files import WrongFile, read_user_file

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_SECRET = 64 * 1024
_AROUND = " \t\r\n\u00a0\u200b\u2060\ufeff"  # what editors and spreadsheets leave around a text, and nobody sees


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
            raise ConfigError(f"{self.key}: {self._place} is empty", hint="write the secret there, on one line")
        if CONTROL.search(secret) or (self.file is None and CONTROL.search(value)):
            raise ConfigError(
                f"{self.key}: {self._place} does not hold one line of readable text",
                hint="write the secret there and nothing else",
            )
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
        """What is there, and the status of the file where it is one."""
        if self.file is None:
            value = os.environ.get(self.variable or "")
            if value is None:
                raise ConfigError(f"{self.key}: {self._place} is not set", hint="set it where tollbook runs")
            return value, None
        try:
            content, status = read_user_file(self.file, MAX_SECRET)
        except FileNotFoundError:
            raise ConfigError(
                f"{self.key}: {self._place} does not exist", hint="write the secret into it, or correct the key"
            ) from None
        except (OSError, WrongFile) as error:
            raise ConfigError(f"{self.key}: {self._place} {why(error)}", hint="correct the key or the file") from None
        # Bytes that are not text become lone surrogates, which read() refuses as unreadable.
        return content.decode("utf-8", errors="surrogateescape"), status


def secret_source(key: str, value: object, folder: Path) -> SecretSource | None:
    """Where a secret is, written as ``env:NAME`` or ``file:PATH`` (relative to ``folder``); None for anything else."""
    scheme, _, target = value.partition(":") if isinstance(value, str) else ("", "", "")
    if scheme == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", target):
        return SecretSource(key, variable=target)
    if scheme == "file" and target.strip() and not CONTROL.search(target):
        return SecretSource(key, file=folder / target)
    return None


def read_address(source: Secret | SecretSource | None) -> Secret | None:
    """An address that may hold a token, read now. Raises ConfigError when it is no usable address."""
    if not isinstance(source, SecretSource):
        return source
    address = source.read()
    problem = url_problem(address.reveal(), may_have_query=True)
    if problem:
        raise ConfigError(f"{source.key}: {problem}", hint="correct what the key names")
    return address


def why(error: OSError | WrongFile) -> str:
    """Why a file cannot be read, without its path."""
    return str(error) if isinstance(error, WrongFile) else f"cannot be read ({error.strerror})"
