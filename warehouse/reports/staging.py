"""Putting a report's files in place: staged, then renamed over the earlier ones.

What lives here: the private folder beside the finished files, and the modes of what finance reads. What does not: what
is written there (``xlsx``, ``html``, ``csv_files``, ``focus``).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tollbook_errors import StorageError

FILE_MODE = 0o640
FOLDER_MODE = 0o750


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A private folder beside the finished files (one file system, so that a rename puts them in place)."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".report-", dir=out))
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"the report cannot be written: {error.strerror}", hint="see the report folder") from error


def sync(path: Path, mode: int | None = None) -> None:
    """Set the mode whatever the umask, and make the file or folder survive a power cut."""
    if mode is not None:
        path.chmod(mode)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
