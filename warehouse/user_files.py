"""Files that a person wrote: the configuration, secrets, finance's CSV files, a bundle of certificates.

What lives here: the one way to read them, bounded in size and in time whatever stands at their path. What does not:
what is in them, and whose error it is when they cannot be read.
"""

import os
import stat
from pathlib import Path

MIB = 1 << 20


class WrongFile(Exception):
    """What stands there is no file to be read. Its text goes on after the file's name: "is not a regular file"."""


def read_user_file(path: Path, most_bytes: int) -> tuple[bytes, os.stat_result]:
    """The content of a regular file of at most ``most_bytes``, or a link to one, and its status.

    Raises WrongFile, and OSError where there is nothing or it cannot be read.
    """
    if "\0" in str(path):
        raise WrongFile("has a name that no file can have")
    if path.is_socket():  # cannot be opened at all
        raise WrongFile("is not a regular file")
    # A pipe that nobody writes to, or a device that has nothing to say, must not make us wait.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise WrongFile("is not a regular file")
        with open(handle, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(handle)
    if len(content) > most_bytes:
        raise WrongFile(f"is larger than {f'{most_bytes // MIB} MiB' if most_bytes >= MIB else f'{most_bytes} bytes'}")
    return content, status
