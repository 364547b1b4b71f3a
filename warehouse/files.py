"""Files that are whole or not there: staged, synced, renamed, checksummed, for their owner only.

What lives here: every step that touches the disk of the data directory. What does not: what the files are (``raw``,
``core``, ``ledger``) and how they are named (``layout``).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import IntegrityError, StorageError

FILE_MODE = 0o600
FOLDER_MODE = 0o700
FORMAT = 1  # of manifests: landings, core states, the record of loads, closes, identities
_WRITTEN_AT_ONCE = 1024 * 1024  # bytes of Parquet; at most so many are held back


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints about ``path`` into StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or path}: {error.strerror or error}",
            hint="check that the disk has room and that the folder can be written",
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents, for the owner only, whatever the umask."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(FOLDER_MODE)


def open_staged(staged: Path) -> int:
    """Begin a staged file, for the owner only, whatever the umask."""
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(handle, FILE_MODE)
    return handle


def remove_stale(folder: Path, name: str, *, locked: bool = False) -> None:
    """Remove what a process that is gone left staged in ``folder`` when it wrote ``name`` (empty: anything).

    Its number may be another process's by now. Where all write under the lock that is held here, none needs asking.
    """
    for entry in folder.glob(f".{name}*.tmp"):
        pid = entry.name.split(".")[-2]
        if locked or not (pid.isdigit() and int(pid) != os.getpid() and is_running(int(pid))):
            with suppress(FileNotFoundError):
                entry.unlink()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def commit_file(staged: Path, path: Path, mode: int = FILE_MODE) -> None:
    """Give a file that was staged its name, so that it is there whole, also after a power cut."""
    handle = os.open(staged, os.O_RDONLY)
    try:
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    staged.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder outlast a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    make_folder(path.parent)
    remove_stale(path.parent, path.name)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(open_staged(staged), "wb") as file:
            file.write(content)
        commit_file(staged, path)
    finally:
        with suppress(FileNotFoundError):
            staged.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest whole or not at all, with the format it is in and a checksum of its own."""
    text = json.dumps(content, sort_keys=True, indent=1)
    sealed = {"format": FORMAT, "sha256": hashlib.sha256(text.encode()).hexdigest(), "content": json.loads(text)}
    write_bytes(path, (json.dumps(sealed, sort_keys=True, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a manifest of any format so far; IntegrityError when it is not what was written.

    The first releases said no format; what they wrote is the first one.
    """
    try:
        sealed = json.loads(path.read_bytes())
        content: dict[str, Any] = sealed["content"]
        text = json.dumps(content, sort_keys=True, indent=1)
        form = sealed.get("format", 1)
        whole = hashlib.sha256(text.encode()).hexdigest() == sealed["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"the manifest {path.name} cannot be read", hint="load its days again") from error
    if form != FORMAT:
        raise IntegrityError(
            f"the manifest {path.name} was written by a newer version of Tollbook (format {form})",
            hint="install that version again, or restore the data directory from a backup",
        )
    if not whole:
        raise IntegrityError(f"the manifest {path.name} is not what was written", hint="load its days again")
    return content


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified_file(data_dir: Path, relative: str, sha256: str) -> Path:
    """The file of this name under the data directory; IntegrityError where it is not what was written."""
    path = data_dir / relative
    with disk_errors(path):
        if not path.exists():
            raise IntegrityError(f"{relative} is missing", hint="restore it from a backup, or load its days again")
        if file_sha256(path) != sha256:
            raise IntegrityError(
                f"{relative} is not what was written: its checksum differs",
                hint="restore it from a backup, or load its days again",
            )
    return path


def names_in(folder: Path) -> Sequence[str]:
    """The finished names in a folder, sorted; what is being staged begins with a dot and is left out."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def manifests_in(folder: Path) -> list[str]:
    """The manifests in a folder, by generation: with their ending, ``-000001`` would sort before what it follows."""
    return sorted((name for name in names_in(folder) if name.endswith(".json")), key=lambda name: name[:-5])


def as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


class StagedParquet:
    """A Parquet file staged; in large pieces, since Parquet itself writes every page of a column apart.

    ``dictionaries``: the columns that have them.
    """

    def __init__(self, staged: Path, schema: pa.Schema, *, dictionaries: Sequence[str] | bool) -> None:
        os.close(open_staged(staged))
        self._sink = pa.output_stream(str(staged), buffer_size=_WRITTEN_AT_ONCE)
        # Of texts nobody asks for the least and the greatest, and they take as long as a fifth of the rest.
        statistics = [column.name for column in schema if not pa.types.is_string(column.type)]
        self._parquet = pq.ParquetWriter(
            self._sink, schema, compression="zstd", use_dictionary=dictionaries, write_statistics=statistics
        )

    def write(self, rows: pa.Table) -> None:
        """Add a row group."""
        self._parquet.write_table(rows)

    def close(self) -> None:
        try:
            self._parquet.close()
        finally:
            self._sink.close()
