"""A data directory of an early release: this one reads it, and makes the same tables of it as long as nobody means it.

``samples/first_lake`` holds what that release landed of the bundled vendors for 30 October to 3 November 2026 (two
loads), with its core, load ledger and configuration. ``digests.json`` says what a rebuild makes of it. A change that is
meant to change a table writes them anew:

    python -m tests.test_upgrade
"""

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from assets.warehouse_asset import update_and_publish
from pipelines.cli import main
from pipelines.resources import Runtime
from pipelines.settings import load_settings
from tollbook_errors import ContractError

SAMPLE = Path(__file__).parent / "samples" / "first_lake"
DIGESTS = SAMPLE / "digests.json"
SECRETS = [f"{vendor}_{part}" for vendor in ("SIPCENTRIC", "TIM4BIZ", "TIME4VPS") for part in ("USERNAME", "PASSWORD")]

# What the release that landed it printed after its second load, of 31 October to 3 November: its own reading.
COSTS_AS_PRINTED = [
    ("hq", "EUR", Decimal("1.359740")),
    ("sip", "GBP", Decimal("23.927000")),
    ("vps", "USD", Decimal("37.780000")),
]


def unpack(folder: Path) -> Path:
    """The data directory of the early release under ``folder``, beside its configuration, whose path is returned."""
    shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)
    with tarfile.open(folder / "data.tar.xz") as archive:
        archive.extractall(folder / "data", filter="data")
    return folder / "tollbook.toml"


def digests(config: Path) -> dict[str, str]:
    return Runtime(load_settings(config)).database.digests()


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of a copy that was rebuilt."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PBXWARE_API_KEY", *SECRETS):
            patch.setenv(name, "not used: nothing is loaded")
        config = unpack(tmp_path_factory.mktemp("first_lake"))
        result = CliRunner().invoke(main, ["--config", str(config), "rebuild"])
        assert result.exit_code == 0, result.output
        yield config


def test_a_rebuild_makes_the_same_tables(rebuilt: Path) -> None:
    expected = json.loads(DIGESTS.read_text(encoding="utf-8"))
    found = digests(rebuilt)
    changed = sorted(name for name in {**expected, **found} if expected.get(name) != found.get(name))
    assert changed == [], "if that is meant: python -m tests.test_upgrade"


def test_the_costs_are_those_the_early_release_printed(rebuilt: Path) -> None:
    with duckdb.connect(rebuilt.parent / "data" / "tollbook.duckdb", read_only=True) as db:
        costs = db.execute(
            "SELECT connection, currency, sum(cost) FROM mart.cost_daily WHERE cost IS NOT NULL"
            " AND cost_date BETWEEN '2026-10-31' AND '2026-11-03' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        different = db.execute("SELECT count(*) FROM audit.tie_out WHERE fact IS DISTINCT FROM in_mart").fetchall()
        variances = db.execute("SELECT count(*) FROM audit.control_total WHERE status = 'variance'").fetchall()
    assert costs == COSTS_AS_PRINTED
    assert (different, variances) == ([(0,)], [(0,)])


def test_what_was_not_rebuilt_says_that_it_has_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PBXWARE_API_KEY", *SECRETS):
        monkeypatch.setenv(name, "not used: nothing is loaded")
    runtime = Runtime(load_settings(unpack(tmp_path)))
    with pytest.raises(ContractError, match="core.cdr has other columns .*tollbook rebuild"):
        update_and_publish(runtime.lake, runtime.database)


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("PBXWARE_API_KEY", *SECRETS), "not used: nothing is loaded"))
    with tempfile.TemporaryDirectory() as folder:
        main(["--config", str(unpack(Path(folder))), "rebuild"], standalone_mode=False)
        text = json.dumps(digests(Path(folder) / "tollbook.toml"), indent=1, sort_keys=True) + "\n"
    DIGESTS.write_text(text, encoding="utf-8")
