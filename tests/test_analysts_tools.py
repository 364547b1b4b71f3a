"""The published file in the DuckDB that an analyst has: an older and the current one, each by itself."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from docs.worked import PAGE, load_demo, questions
from warehouse.schema import TABLES

pytestmark = pytest.mark.slow  # other tools

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 3)

# What the other client runs: every question of the page, and the shape of every table; texts, so that both can be held
# against each other.
ASK = """
import json, sys
import duckdb
file, questions = sys.argv[1], json.load(sys.stdin)
with duckdb.connect(file, read_only=True) as con:
    con.execute("SET TimeZone = 'Europe/London'")
    answers = [[[str(value) for value in row] for row in con.execute(sql).fetchall()] for sql in questions]
    comments = con.execute("SELECT count(comment) FROM duckdb_columns() WHERE NOT internal").fetchall()[0][0]
    frame = con.sql("SELECT cost FROM core.cdr").to_arrow_table()
print(json.dumps([duckdb.__version__, str(frame.schema.field("cost").type), comments, answers]))
"""


@pytest.mark.soak
@pytest.mark.parametrize("version", ["1.4", "2.0"])
def test_a_client_of_its_own_environment_gets_the_same_answers(tmp_path: Path, version: str) -> None:
    """Needs the package registry; skipped where it cannot be reached."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    wanted = [f"duckdb=={version}.*", "pyarrow", "pytz"]
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"DuckDB {version} could not be installed: the package registry cannot be reached")
    file = load_demo(tmp_path, FIRST, LAST)
    asked = [question.sql for question in questions(PAGE.read_text())]
    told = subprocess.run(
        [python, "-c", ASK, file], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    found, amounts, comments, responses = json.loads(told.stdout)
    assert found.startswith(f"{version}.")
    assert amounts == "decimal128(18, 6)"
    assert comments == sum(len(table.columns) for table in TABLES)
    with duckdb.connect(file, read_only=True) as con:
        con.execute("SET TimeZone = 'Europe/London'")
        ours = [[[str(value) for value in row] for row in con.execute(sql).fetchall()] for sql in asked]
    assert responses == ours
