"""DuckDB as we open it: nothing but what a connection was opened for can be read, whatever SQL reaches it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.duck import connect
from warehouse.lake import Lake
from warehouse.merge import session


@pytest.fixture(params=["session", "file", "read-only"])
def con(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection as typing answers, updating the warehouse and reading what was published open it."""
    raw = tmp_path / "it's" / "raw"
    raw.mkdir(parents=True)
    pq.write_table(pa.table({"body": ["said"]}), raw / "answers.parquet")
    (raw / "way-out").symlink_to("/etc/passwd")
    (tmp_path / "outside.csv").write_text("a\n1\n")
    if request.param == "session":
        opened = session(Lake(raw.parent))
    else:
        connect(tmp_path / "some.duckdb", reads=[raw]).close()
        opened = connect(tmp_path / "some.duckdb", reads=[raw], read_only=request.param == "read-only")
    with closing(opened) as con:
        yield con


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('{outside}')",
        "SELECT * FROM read_text('{raw}/../../outside.csv')",
        "SELECT * FROM read_text('{raw}/way-out')",
        "SELECT * FROM read_parquet('https://127.0.0.1:9/x.parquet')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH '{outside}.duckdb' AS other",
        "COPY (SELECT 1) TO '{outside}'",
        "EXPORT DATABASE '{outside}.d'",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET autoinstall_known_extensions = true",
        "SET lock_configuration = false",
        "SELECT * FROM secret_of_the_caller",
    ],
)
def test_hostile_sql_gets_nowhere(con: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str) -> None:
    secret_of_the_caller = pa.table({"a": [1]})  # what DuckDB would find by its name, unless it is told not to look
    places = {"raw": str(tmp_path / "it's" / "raw").replace("'", "''"), "outside": tmp_path / "outside.csv"}
    with pytest.raises(duckdb.Error):
        con.execute(sql.format(**places)).fetchall()
    assert secret_of_the_caller.num_rows == 1
    assert (tmp_path / "outside.csv").read_text() == "a\n1\n"


def test_what_it_was_opened_for_works(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    responses = str(tmp_path / "it's" / "raw" / "answers.parquet")
    assert con.execute("SELECT body FROM read_parquet(?)", [responses]).fetchall() == [("said",)]
    for each in (con, con.cursor()):
        assert each.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_a_second_connection_to_an_open_database(tmp_path: Path) -> None:
    path = tmp_path / "some.duckdb"
    connect(path).close()
    with closing(connect(path, read_only=True)), closing(connect(path, read_only=True)) as second:
        assert second.execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            second.execute("SET lock_configuration = false")
