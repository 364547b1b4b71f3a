"""Data directories as they stood at one moment or another, kept so that each can be put back.

What lives here: ``States``, which keeps each file's content once, and tells states apart. What does not: when a
state is kept (``killing``), and what must come of it (the tests).
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

# What is being written aside: a process that died left it, and the next one that writes there removes it unread.
ASIDE = re.compile(r"\..+\.tmp")


class States:
    """States of data directories below ``folder``, each by its key."""

    def __init__(self, folder: Path) -> None:
        self._contents, self._states = folder / "contents", folder / "states"
        for each in (self._contents, self._states):
            each.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def keep(self, data_dir: Path, changed: Collection[str] = ()) -> tuple[str, str]:
        """The key of what ``data_dir`` holds, but for Dagster's own home; and the key without the contents of asides.

        ``changed``: which files, relative, may have been written to since the last time, whatever their clock says.
        """
        entries = sorted(self._entries(str(data_dir), changed))
        text = json.dumps(entries)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        path = self._states / key
        if not path.exists():
            path.write_text(text)
        outer = [(name, mode, "" if ASIDE.fullmatch(name.rpartition("/")[2]) else of) for name, mode, of in entries]
        return key, hashlib.sha256(json.dumps(outer).encode()).hexdigest()[:32]

    def put_back(self, key: str, data_dir: Path) -> None:
        """Make ``data_dir`` what it was."""
        shutil.rmtree(data_dir, ignore_errors=True)
        entries = json.loads((self._states / key).read_text())
        if entries:
            data_dir.mkdir(mode=0o700)
        for name, mode, content in entries:
            path = data_dir / name
            if content == "folder":
                path.mkdir()
            else:
                shutil.copyfile(self._contents / content, path)
            path.chmod(mode)

    def _entries(self, root: str, changed: Collection[str], below: str = "") -> Iterator[tuple[str, int, str]]:
        """Every folder and file: its name, its mode, and by what its content is found."""
        try:
            found = list(os.scandir(f"{root}/{below}"))
        except FileNotFoundError:
            return
        for entry in found:
            name = below + entry.name
            if name == "dagster":
                continue
            try:
                stat = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    yield name, stat.st_mode & 0o777, "folder"
                    yield from self._entries(root, changed, f"{name}/")
                else:
                    yield name, stat.st_mode & 0o777, self._content(entry.path, name, stat, name in changed)
            except FileNotFoundError:  # another thread took it away meanwhile: so it could be at a kill
                continue

    def _content(self, path: str, name: str, stat: os.stat_result, changed: bool) -> str:
        looks = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = self._known.get(name)
        if known is not None and known[0] == looks and not changed:
            return known[1]
        data = Path(path).read_bytes()
        digest = hashlib.sha256(data).hexdigest()[:32]
        kept = self._contents / digest
        if not kept.exists():
            kept.write_bytes(data)
        self._known[name] = looks, digest
        return digest
