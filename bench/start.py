"""What a command costs before it does anything: whole processes, from start to exit.

What lives here: ``--help``, ``status`` and the load of an empty day, beside a Python that does nothing. What does not:
anything that depends on the number of records (``extract``, ``nights``).
"""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.child import ROOT, environment
from bench.extract import configure
from bench.figures import interleave, show
from bench.vendor import DAY, serving


def process(*arguments: str, well: tuple[int, ...] = (0,)) -> dict[str, float]:
    """Run Python with these arguments; seconds. RuntimeError when it ends with another code than ``well``."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode not in well:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return {"seconds": seconds}


def commands(repeat: int) -> None:
    """Goal 7: the fixed cost of the commands."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder, serving() as base:
        config = str(configure(Path(folder), base, "pbxware"))
        run = ("-m", "pipelines.cli", "--config", config)
        load = (*run, "load", "--from", str(DAY), "--to", str(DAY))
        process(*load)
        found = interleave(
            {
                "nothing": partial(process, "-c", "pass"),
                "dagster": partial(process, "-c", "import dagster"),
                "help": partial(process, "-m", "pipelines.cli", "--help"),
                "status": partial(process, *run, "status", well=(0, 1)),
                "load": partial(process, *load),
            },
            repeat,
        )
    show(
        "7 fixed cost, whole processes",
        [
            ("python -c pass, s", found["nothing"]["seconds"], ""),
            ("python -c 'import dagster', s", found["dagster"]["seconds"], ""),
            ("tollbook --help, s", found["help"]["seconds"], "under 0.7"),
            ("tollbook status, s", found["status"]["seconds"], "under 0.7"),
            ("tollbook load of an empty day, s", found["load"]["seconds"], "at most 6"),
        ],
    )
