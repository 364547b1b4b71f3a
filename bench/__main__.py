"""``python -m bench [NAME …]``: the benchmarks and their sizes.

What lives here: which benchmarks there are, and how large each is. What does not: the measurements (``extract``,
``limits``, ``nights``, ``start``).
"""

import argparse
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from bench import extract, limits, nights, start


@dataclass(frozen=True)
class Size:
    """How many records each benchmark is about, and how often it is repeated."""

    cdrs: int  # of a PBXware day; a Sipcentric day has a fifth of it, in as many pages
    requests: int  # the largest day whose requests are counted; the smaller ones are a tenth and a hundredth
    slow_cdrs: int  # of the vendor that takes its time
    history: tuple[int, ...]  # legs of the histories, the shortest first
    rows_a_day: int
    rules: int  # of finance's; a hundred times as many of other things
    repeat: int


SIZES = {
    "toy": Size(2_000, 2_000, 2_000, (400, 4_000), 200, 20, 1),
    "small": Size(100_000, 100_000, 20_000, (50_000, 500_000), 10_000, 8_000, 3),
    "full": Size(1_000_000, 1_000_000, 200_000, (1_000_000, 15_000_000, 50_000_000), 25_000, 8_000, 3),
}


def benchmarks(size: Size, dlt: str = "") -> dict[str, Callable[[], None]]:
    """Name -> what measures and prints it. ``dlt``: a Python that has it, to be compared with."""
    counted = [size.requests // 100, size.requests // 10, size.requests]
    peers: dict[str, Callable[[], None]] = {
        "dlt-pbxware": lambda: extract.against_dlt(dlt, "pbxware", size.cdrs, size.repeat),
        "dlt-sipcentric": lambda: extract.against_dlt(dlt, "sipcentric", size.cdrs // 5, size.repeat),
    }
    return {
        **(peers if dlt else {}),
        "pbxware": lambda: extract.speed("pbxware", size.cdrs, size.repeat),
        "sipcentric": lambda: extract.speed("sipcentric", size.cdrs // 5, size.repeat),
        "memory": lambda: extract.memory(size.cdrs),
        "requests": lambda: extract.request_counts({"pbxware": counted, "sipcentric": counted[:2]}),
        "in-flight": lambda: extract.in_flight(size.slow_cdrs, 0.1, size.repeat),
        "history": lambda: nights.over_history(size.history, size.rows_a_day, size.repeat),
        "limits": lambda: limits.beyond(size.rules),
        "start": lambda: start.commands(size.repeat),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(benchmarks(SIZES['toy']))}")
    parser.add_argument("--size", choices=SIZES, default="small", help="default: small, about five minutes")
    parser.add_argument("--repeat", type=int, help="repetitions of each measurement")
    parser.add_argument("--dlt", default="", metavar="PYTHON", help="one with dlt[parquet] and orjson: compare with it")
    asked = parser.parse_args(arguments)
    size = SIZES[asked.size]
    if asked.repeat:
        size = Size(**{**size.__dict__, "repeat": asked.repeat})
    known = benchmarks(size, asked.dlt)
    for name in asked.names:
        if name not in known:
            parser.error(f"there is no benchmark {name}: {', '.join(known)}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("dagster", "duckdb", "pyarrow", "requests", "orjson"))
    print(f"{os.cpu_count()} cores, {math.ceil(memory)} GiB, Python {platform.python_version()}, {packages}")
    print(f"medians of {size.repeat} (lowest to highest); load average {os.getloadavg()[0]:.1f}")
    failed = []
    for name in asked.names or known:
        try:
            known[name]()
        except RuntimeError as error:
            # The others are still worth measuring.
            failed.append(name)
            print(f"\n{name} was not measured: {str(error).strip().splitlines()[-1]}", flush=True)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
