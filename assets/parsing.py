"""Making core rows of the responses of a landing: what the vendors' modules do alike.

What lives here: feeding a parser from a landing, changing rows that are already written, handing over the rows of a
list, and reading plain values. What does not: what a response means (the vendors' folders), and merging its rows into
core (``warehouse.merge``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from assets.stream import Begin, Source
from warehouse.core import CoreWriter, StagedFile
from warehouse.files import make_folder
from warehouse.merge import Normalised
from warehouse.money import money
from warehouse.raw import Landing
from warehouse.schema import Table


def parse(
    begin: Begin,
    source: Source,
    con: duckdb.DuckDBPyConnection,
    landing: Landing,
    day: date | None,
) -> Normalised:
    """What all responses of a landing come to, by the parser that ``begin`` makes."""
    assert day is not None
    folder = source.lake.scratch_folder / f"{landing.generation}.parsed"
    make_folder(folder)
    parser = begin(source, con, landing.file, landing.depends_on, day, folder)
    for responses in source.lake.raw.response_batches(landing):
        parser.add(responses)
    return parser.finish(landing)


def rewrite(table: Table, path: Path, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> StagedFile:
    """Replace a file of rows by another one, with each batch of them changed."""
    changed = path.with_suffix(".changed.parquet")
    with closing(CoreWriter(table, changed)) as writer, pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            writer.write(change(batch))
    path.unlink()
    return StagedFile(changed, writer.rows)


def register_rows(
    con: duckdb.DuckDBPyConnection, rows: Mapping[Table, Sequence[dict[str, Any]]]
) -> dict[Table, str | StagedFile]:
    """Make the rows of each table a relation ``fresh_<table>``; their names, as ``Normalised`` wants them."""
    for table, entries in rows.items():
        con.register(f"fresh_{table.name}", pa.Table.from_pylist(entries, schema=table.arrow()))
    return {table: f"fresh_{table.name}" for table in rows}


def origin(source: Source, landing: Landing, response: Mapping[str, Any], number: int = 0) -> dict[str, Any]:
    """The columns that say where a row was read: in a response of a landing, its record ``number``, from 0 on."""
    return {
        "vendor": source.vendor,
        "connection": source.name,
        "raw_file": landing.file,
        "raw_row": response["first_row"] + number,
        "fetched_at": response["fetched_at"],
    }


def text(value: Any) -> str | None:
    """A text, or a number as text; None for anything else."""
    return str(value) if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else None


def whole_number(value: Any) -> int | None:
    amount = money(value)
    return int(amount) if amount is not None and amount == int(amount) else None


def is_true(value: Any) -> bool:
    return str(value).strip().lower() in {"1", "true", "yes"}


def sum_if_complete(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of amounts; None where one of them is not known."""
    known = list(amounts)
    return None if None in known else sum((amount for amount in known if amount is not None), Decimal(0))
