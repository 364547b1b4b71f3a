"""The rules that code can break without failing: who may import whom, and who may read the environment."""

import ast
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import dagster
import pytest
from dagster._annotations import is_deprecated, is_superseded

ROOT = Path(__file__).parents[1]
LAYERS = ("pipelines", "assets", "warehouse")
OURS = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")) + [ROOT / "tollbook_errors.py"]

# What speaks HTTP: the client, and what each vendor is asked.
VENDORS = ("pbxware", "sipcentric", "tim4biz", "time4vps")
SPEAK_HTTP = ("assets/http", *(f"assets/{vendor}/api.py" for vendor in VENDORS))

# Folder or file -> what must not be imported in it. All that match a file count.
FORBIDDEN = {
    "assets": ("pipelines",),
    **dict.fromkeys(SPEAK_HTTP, ("dagster", "pandas", "pyarrow", "duckdb", "warehouse", "assets")),
    "warehouse": ("pipelines", "assets", "dagster", "requests"),
    "tollbook_errors.py": ("pipelines", "assets", "warehouse", "dagster"),
}
ALLOWED = dict.fromkeys(SPEAK_HTTP, ("assets.http",))

# Dagster marks what it deprecates or supersedes, which is asked below; these it keeps, but we do without them:
# three stores are three plain calls, and definitions, resources and sensors have one current form.
NOT_HERE = {"IOManager", "ConfigurableIOManager", "io_manager", "repository", "resource", "multi_asset_sensor"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module and imported name of a file, as a dotted path with its line; also the ones inside functions."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


def belongs(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def forbidden_imports(path: Path) -> list[str]:
    name = name_of(path)
    found = []
    for folder, forbidden in FORBIDDEN.items():
        if name != folder and not name.startswith(f"{folder}/"):
            continue
        for module, line in imports(path):
            if any(belongs(module, allowed) for allowed in ALLOWED.get(folder, ())):
                continue
            if any(belongs(module, package) for package in forbidden):
                found.append(f"{name}:{line} imports {module}")
    return found


def test_the_code_is_there() -> None:
    assert len(OURS) > 5, "the checks below would pass on nothing"


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    assert forbidden_imports(path) == []


@pytest.mark.parametrize(
    ("folder", "statement"),
    [
        ("assets", "from pipelines.settings import load_settings"),
        ("assets/http", "import pandas as pd"),
        ("assets/http", "from pyarrow import parquet"),
        ("assets/http", "from dagster import asset"),
        ("assets/http", "from .. import controls"),
        ("assets/http", "from assets.partitions import days"),
        ("assets/http", "def late():\n    import warehouse.lake"),
        ("warehouse", "from assets.http.page import Page"),
        ("warehouse", "import requests.adapters"),
        ("warehouse/reports", "import dagster"),
    ],
)
def test_a_wrong_import_is_found(folder: str, statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / folder / "wrong.py"
    path.parent.mkdir(parents=True)
    path.write_text(statement + "\n", encoding="utf-8")
    assert len(forbidden_imports(path)) == 1


def test_a_source_may_import_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "assets/http/right.py"
    path.parent.mkdir(parents=True)
    path.write_text("from assets.http import page\nfrom .client import Client\nimport requests\n", encoding="utf-8")
    assert forbidden_imports(path) == []


def imported_at_once(path: Path) -> set[str]:
    """The modules of ours that a file imports as soon as it is imported, not in a function or for type checks alone.

    A package that is only passed through is not one of them: Python has it already when it imports a module in it.
    """
    known = {module_of(each) for each in OURS}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = list(path.relative_to(ROOT).parent.parts)
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names & known if names <= known else {module, *(names & known)}
    return found & known - {module_of(path)}


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_circles(graph: Mapping[str, Collection[str]]) -> list[str]:
    """The modules that import each other, also by way of others."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_one_that_imports_it() -> None:
    assert import_circles({module_of(path): imported_at_once(path) for path in OURS}) == []


def test_an_import_circle_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "one": "from warehouse import two\n",
        "two": "from warehouse.three import thing\n",
        "three": "import warehouse.one\nthing = 1\n",
        "late": "def ask():\n    from warehouse import one\n",
    }
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "warehouse").mkdir()
    paths = []
    for name, text in files.items():
        paths.append(tmp_path / "warehouse" / f"{name}.py")
        paths[-1].write_text(text, encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.OURS", paths)
    graph = {module_of(path): imported_at_once(path) for path in paths}
    assert graph["warehouse.late"] == set()
    assert {"warehouse.one", "warehouse.two", "warehouse.three"} == set(import_circles(graph))
    assert import_circles({**graph, "warehouse.three": ()}) == []


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_annotations_are_real_where_dagster_reads_them(path: Path) -> None:
    """Dagster reads the annotations of assets, resources and configurations: they must not be turned into texts."""
    names = {module for module, _ in imports(path)}
    if any(belongs(module, "dagster") for module in names):
        assert "__future__.annotations" not in names


def dagster_names(path: Path) -> set[str]:
    """The names that a file takes from Dagster's top level, imported by name or written as ``dg.name``."""
    used = {module.removeprefix("dagster.") for module, _ in imports(path) if belongs(module, "dagster")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("dg", "dagster"):
            used.add(node.attr)
    return used - {"dagster"}


def is_left_behind(name: str) -> bool:
    thing = getattr(dagster, name, None)
    return name in NOT_HERE or (thing is not None and (is_superseded(thing) or is_deprecated(thing)))


@pytest.mark.filterwarnings("ignore")  # looking at a name that is left behind warns: that is the point
def test_dagster_says_what_it_left_behind() -> None:
    assert is_left_behind("AutoMaterializePolicy")
    assert is_left_behind("build_last_update_freshness_checks")
    assert not is_left_behind("asset")


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_nothing_left_behind_is_built_upon(path: Path) -> None:
    assert [name for name in sorted(dagster_names(path)) if is_left_behind(name)] == []


def test_there_is_no_utils_module() -> None:
    drawers = ("utils", "util", "helpers", "common", "misc")
    assert [name_of(path) for path in OURS if path.stem in drawers or path.parent.name in drawers] == []


# Only the settings read the environment; the demo sets secrets up for its own configuration.
MAY_USE_ENVIRONMENT = ("pipelines/settings.py", "pipelines/secret_source.py", "pipelines/demo/")


def environment_uses(path: Path) -> list[int]:
    """The lines in which a file touches the process environment."""
    doors = ("environ", "environb", "getenv", "getenvb", "putenv")
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in doors:
            found.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            found.extend(node.lineno for alias in node.names if alias.name in doors)
    return sorted(found)


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if name_of(path).startswith(MAY_USE_ENVIRONMENT):
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [lines[line - 1].strip() for line in environment_uses(path)]
    if name_of(path) == "pipelines/pages.py":  # it may hand DAGSTER_HOME on to Dagster, and nothing else
        found = [line for line in found if "DAGSTER_HOME" not in line]
    assert found == []


def test_a_reading_of_the_environment_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        "import os\nfrom os import getenv\nprint(os.environ['HOME'], os.getenv('HOME'))\n", encoding="utf-8"
    )
    assert environment_uses(path) == [2, 3, 3]


def attribute_uses(path: Path, module: str, names: set[str]) -> list[int]:
    """The lines in which a file takes one of these names from a module, whatever it calls the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == module
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            found.extend(node.lineno for alias in node.names if alias.name in names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.extend([node.lineno] if node.value.id in called and node.attr in names else [])
    return sorted(found)


# The module's own connection, or one that is made elsewhere, could read any file and load any extension.
DUCKDB_DOORS = {"connect", "sql", "query", "execute", "default_connection", "read_parquet", "read_csv", "read_json"}


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_duckdb_is_opened_in_one_place(path: Path) -> None:
    expected = 1 if name_of(path) == "warehouse/duck.py" else 0
    assert len(attribute_uses(path, "duckdb", DUCKDB_DOORS)) == expected


def test_duckdb_opened_elsewhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("import duckdb as d\nfrom duckdb import connect as c\nd.connect()\nd.sql('')\n", encoding="utf-8")
    assert attribute_uses(path, "duckdb", DUCKDB_DOORS) == [2, 3, 4]
