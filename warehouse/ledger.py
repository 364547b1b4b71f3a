"""The record of every load, in files, from which ``audit.load`` is made.

What lives here: writing and reading that record, in the order in which loads began, whatever the clock said. What does
not: what a load does (``assets.load``).
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from warehouse.files import as_json, disk_errors, names_in, read_json, remove_stale, write_bytes, write_json
from warehouse.layout import parse_day, safe_name, window_name
from warehouse.schema import table


class LoadLedger:
    """What each load did: the rows of ``audit.load``. ``writing`` takes the lock of the data directory."""

    def __init__(self, data_dir: Path, writing: Callable[[], AbstractContextManager[None]]) -> None:
        self.data_dir = data_dir
        self._writing = writing

    def record(self, row: Mapping[str, Any]) -> None:
        """Keep one row of ``audit.load``, and the word that the database has not seen this load whole."""
        name = "@".join(
            (safe_name(row["connection"]), safe_name(row["stream"]), window_name(row["window_from"], row["window_to"]))
        )
        path = self.data_dir / "state" / "loads" / safe_name(row["load_id"]) / f"{name}.json"
        with disk_errors(path), self._writing():
            pending = self.data_dir / "state" / "pending" / f"load@{safe_name(row['load_id'])}"
            if not pending.exists():
                write_bytes(pending, b"")
            sequence = self._sequence_of(row["load_id"])
            write_json(path, {**{key: as_json(value) for key, value in row.items()}, "sequence": sequence})

    def _sequence_of(self, load_id: str) -> int:
        """The number of a load: its own where it has a row, else the next, whatever the clock says."""
        root = self.data_dir / "state" / "loads"
        if not names_in(root / load_id):
            return 1 + self.last_sequence()
        return self._recorded_sequence(load_id)

    def last_sequence(self) -> int:
        """The number of the load that was begun last; 0: none has one. It looks into the record of every load."""
        root = self.data_dir / "state" / "loads"
        return max((self._recorded_sequence(load) for load in names_in(root)), default=0)

    def _recorded_sequence(self, load_id: str) -> int:
        folder = self.data_dir / "state" / "loads" / load_id
        return max((int(read_json(folder / name).get("sequence", 0)) for name in names_in(folder)[:1]), default=0)

    def all(self) -> list[dict[str, Any]]:
        """The rows of ``audit.load`` of every load, in order."""
        return [row for load in self.names() for row in self.of(load)]

    def names(self) -> list[str]:
        """The loads that have recorded anything, in order."""
        root = self.data_dir / "state" / "loads"
        with disk_errors(root):
            return list(names_in(root))

    def rename_connection(self, old: str, new: str) -> None:
        """Give a connection's rows of ``audit.load`` its new name. Can be repeated; the caller holds ``writing``."""
        root = self.data_dir / "state" / "loads"
        for path in (root / load / name for load in names_in(root) for name in names_in(root / load)):
            if path.name.startswith(f"{old}@"):
                write_json(path.with_name(new + path.name.removeprefix(old)), {**read_json(path), "connection": new})
                path.unlink()

    def pending(self) -> list[str]:
        """The loads that have rows which the database has not seen."""
        names = (name.split("@") for name in names_in(self.data_dir / "state" / "pending"))
        return [name[1] for name in names if len(name) == 2]

    def clear_pending(self, loads: Iterable[str]) -> None:
        """The database has taken these in. The caller holds ``writing``."""
        pending = self.data_dir / "state" / "pending"
        for load in loads:
            # No later load writes there again and would do it.
            remove_stale(self.data_dir / "state" / "loads" / safe_name(load), "", locked=True)
            with suppress(FileNotFoundError):
                (pending / f"load@{safe_name(load)}").unlink()
        remove_stale(pending, "", locked=True)

    def of(self, load_id: str) -> list[dict[str, Any]]:
        """The rows of ``audit.load`` of one load, by connection, stream and window."""
        folder = self.data_dir / "state" / "loads" / safe_name(load_id)
        with disk_errors(folder):
            return [_typed_load(read_json(folder / name)) for name in names_in(folder)]


def _typed_load(row: dict[str, Any]) -> dict[str, Any]:
    types = {column.name: column.type for column in table("audit.load").columns}
    return {
        name: datetime.fromisoformat(row[name])
        if type_ == "TIMESTAMPTZ" and row.get(name)
        else parse_day(row[name])
        if type_ == "DATE" and row.get(name)
        else row.get(name)
        for name, type_ in types.items()
    }
