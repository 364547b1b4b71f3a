"""A mart is declared once: what its SQL, its proof and the update do is held to the declaration."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from warehouse import schema
from warehouse.schema import DERIVED, MARTS, table
from warehouse.update import sql

HERE = Path(schema.__file__).parents[1]


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.name)
def test_a_mart_is_one_select_that_begins_with_its_grain(mart: Any) -> None:
    select = sql.read_mart(mart)
    assert select.startswith("-- One row per " if mart.name != "cost_monthly" else f"-- {mart.grain}")
    code = "\n".join(text.split("--")[0] for text in select.splitlines()).strip()
    assert code.startswith(("SELECT", "WITH"))
    assert ";" not in code
    head = select.split("\nWITH")[0].split("\nSELECT")[0].replace("\n-- ", " ")
    assert "Made of " in head
    assert mart.date_column is None or f"`{mart.date_column}` is " in head


def named_in(select: str) -> set[str]:
    """The tables that a SELECT names with their schema, also through a view, as DuckDB itself reads it."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for part in node:
                walk(part)
        elif isinstance(node, dict):
            if node.get("type") == "BASE_TABLE" and node["schema_name"]:
                found.add(f"{node['schema_name']}.{node['table_name']}")
            elif node.get("type") == "BASE_TABLE" and node["table_name"] in sql.VIEWS:
                found.update(named_in(sql.read(f"views/{node['table_name']}")))
            walk(list(node.values()))

    with duckdb.connect() as db:
        parsed = json.loads(db.execute("SELECT json_serialize_sql(?)", [select]).fetchall()[0][0])
    assert not parsed["error"], parsed
    walk(parsed)
    return found


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.name)
def test_a_mart_says_of_which_tables_it_is_made(mart: Any) -> None:
    assert set(mart.reads) == named_in(sql.read_mart(mart))
    assert len(mart.reads) == len(set(mart.reads))
    made_before = {table_.full_name for table_ in DERIVED[: DERIVED.index(mart)]}
    assert {name for name in mart.reads if not table(name).in_lake} <= made_before


def test_a_mart_has_one_select_and_one_proof_where_it_says_that_it_is_proved() -> None:
    def names(folder: str) -> set[str]:
        return {path.stem for path in (HERE / folder).glob("*.sql")}

    assert names("marts") == {mart.name for mart in MARTS}
    assert names("tie_outs") == {table_.name for table_ in DERIVED if table_.tied_out}
    assert names("views") == set(sql.VIEWS)


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.name)
def test_a_mart_is_made_of_the_days_of_its_own_scope(mart: Any) -> None:
    """Else an update would delete other rows than it makes."""
    if mart.scope.macro:
        assert f"{mart.scope.macro}(" in sql.read_mart(mart)
        assert mart.date_column


@pytest.mark.parametrize("name", sql.names())
def test_no_sql_turns_a_decimal_into_a_float(name: str) -> None:
    code = "\n".join(text.split("--")[0] for text in sql.read(name).splitlines())
    assert " / " not in code
    assert "avg(" not in code.lower()
    assert "double" not in code.lower()
