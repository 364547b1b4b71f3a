"""One measurement in a process of its own: ``python -m bench.child module:function '{"argument": …}'``.

What lives here: starting such a process, and what it prints: the function's figures with the process's own peak of
resident memory. What does not: what is measured (``extract``, ``nights``, ``start``).

The peak is read by the process itself: what the system reports of a child can be the parent's peak, from before exec.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def measure(function: str, **arguments: Any) -> dict[str, float]:
    """Call ``module:function`` in a new process; its figures, with ``peak_mib`` of that process.

    Raises RuntimeError, with what the process wrote, when it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.child", function, json.dumps(arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def environment() -> dict[str, str]:
    """The caller's environment without its own configuration of Tollbook."""
    ours = ("TOLLBOOK_CONFIG", "DAGSTER_HOME")
    return {name: value for name, value in os.environ.items() if name not in ours}


def peak_mib() -> float:
    """The most memory that this process has had resident, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def call(function: str, **arguments: Any) -> dict[str, float]:
    """Call ``module:function`` in this process; its figures, with ``peak_mib`` of this process so far."""
    module, name = function.split(":")
    figures: dict[str, float] = getattr(importlib.import_module(module), name)(**arguments)
    return {**figures, "peak_mib": peak_mib()}


def main() -> None:
    print(json.dumps(call(sys.argv[1], **json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
