"""The register of erased telephone numbers: what was erased, told without the numbers.

What lives here: the register in ``state/erasures``, the key of its digests, the digests themselves. What does not:
finding a number in a text (``assets.redaction``), rewriting what was landed (``lake``), the command (``pipelines``).

A vendor can hand out an erased number again, so each is kept as keyed digests that tell it when it comes. Whoever has
both the key and the digests can try every number there is: the folder is as private as the landings beside it.

    state/erasures/key          32 random bytes, in hexadecimal
    state/erasures/<id>.json    one number: its digests, and when how many rows lost it
"""

import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tollbook_errors import IntegrityError
from warehouse.files import disk_errors, read_json, write_bytes, write_json

_RESTORE = "restore state/erasures from a backup"


@dataclass(frozen=True)
class Erasure:
    """One erased number. ``international`` and ``national`` are digests of its digits with and without country code.

    ``digits`` says how many either has; ``calling_code`` and ``region`` (ISO 3166) are its country's. ``lines``: when
    (UTC) it was erased, and how many rows of each table (``raw``: answers) lost it.
    """

    id: str
    international: str
    national: str
    digits: tuple[int, int]
    calling_code: str
    region: str
    lines: tuple[tuple[datetime, Mapping[str, int]], ...] = ()


class Register:
    """The erased numbers of a data directory. The caller holds it for writing when it adds one."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "state" / "erasures"
        self._key: bytes | None = None

    def digest(self, digits: str) -> str:
        """HMAC-SHA256 of digits under the register's key, in hexadecimal; the key is made when there is none."""
        if self._key is None:
            path = self.folder / "key"
            with disk_errors(path):
                if not path.exists():
                    if self._entries():
                        raise IntegrityError("the key of the erased numbers is gone", hint=_RESTORE)
                    write_bytes(path, secrets.token_hex(32).encode())
                try:
                    self._key = bytes.fromhex(path.read_text(encoding="ascii"))
                except ValueError:
                    self._key = b""
                if len(self._key) != 32:
                    raise IntegrityError("the key of the erased numbers is not what was written", hint=_RESTORE)
        return hmac.digest(self._key, digits.encode(), "sha256").hex()

    def read(self) -> list[Erasure]:
        """Every erased number, by id. IntegrityError when an entry is not what was written."""
        with disk_errors(self.folder):
            return [self._read(path) for path in self._entries()]

    def holds_only(self, known: Collection[str]) -> bool:
        """Whether no number was erased but those of these ids."""
        return all(path.stem in known for path in self._entries())

    def erasure(self, calling_code: str, national: str, region: str) -> Erasure:
        """The entry of a number of these digits: the one there is, else a new one that is not kept yet."""
        whole = self.digest(calling_code + national)
        path = self._path(whole[:16])
        with disk_errors(path):
            if path.exists():
                return self._read(path)
        digits = (len(calling_code + national), len(national))
        return Erasure(whole[:16], whole, self.digest(national), digits, calling_code, region)

    def keep(self, erasure: Erasure, rows: Mapping[str, int]) -> None:
        """Keep a number as erased now, from as many rows by table; of one that was erased before, one more line."""
        lines = [[at.isoformat(), dict(rows)] for at, rows in (*erasure.lines, (datetime.now(UTC), rows))]
        with disk_errors(self.folder):
            write_json(self._path(erasure.id), {**erasure.__dict__, "lines": lines})

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _entries(self) -> Sequence[Path]:
        return sorted(path for path in self.folder.glob("*.json") if not path.name.startswith("."))

    def _read(self, path: Path) -> Erasure:
        try:
            content = read_json(path)
            lines = tuple((datetime.fromisoformat(at), dict(rows)) for at, rows in content["lines"])
            return Erasure(**{**content, "digits": tuple(content["digits"]), "lines": lines})
        except (IntegrityError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{path.name} of the erased numbers is not what was written", hint=_RESTORE) from error
