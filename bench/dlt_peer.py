"""dlt on the same server, for comparison: ``PYTHON bench/dlt_peer.py WAY VENDOR BASE``, a Python that has dlt[parquet].

What lives here: a day's pages to Parquet files by dlt's ``rest_api`` source and by a resource that yields Arrow tables;
nothing is typed, split or proved. What does not: our side of it (``extract``). It runs by itself, in another
environment (with orjson too): dlt is none of our dependencies.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import orjson
import pyarrow as pa
import requests
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator
from dlt.sources.rest_api import rest_api_resources

# As bench.vendor has them; this file is read by an environment without us.
ASKED: dict[str, dict[str, Any]] = {
    "pbxware": {
        "path": "",
        "records": "csv",
        "params": {
            "action": "pbxware.cdr.download",
            "start": "Oct-19-2026",
            "starttime": "23:00:00",
            "end": "Oct-20-2026",
            "endtime": "22:59:59",
            "limit": 1000,
        },
    },
    "sipcentric": {
        "path": "sip/customers/8001/calls",
        "records": "items",
        "params": {"startedAfter": "2026-10-19T23:00:00Z", "startedBefore": "2026-10-20T23:00:00Z", "pageSize": 200},
    },
}
COLUMNS = (
    *("from", "to", "started", "total_duration", "rating_duration", "rating_cost", "status", "unique_id"),
    *("recording_path", "recording_available", "location_type", "mos"),
)


def rest_api(vendor: str, base: str) -> Any:
    """The source that is configured and not programmed."""
    asked = ASKED[vendor]
    pages = PageNumberPaginator(base_page=1, page_param="page", total_path=None, stop_after_empty_page=True)
    named = [{"map": lambda row: dict(zip(COLUMNS, row, strict=True))}] if vendor == "pbxware" else []
    endpoint = {"path": asked["path"], "params": asked["params"], "paginator": pages, "data_selector": asked["records"]}
    resource = {"name": "calls", "endpoint": endpoint, "processing_steps": named}
    return rest_api_resources({"client": {"base_url": base}, "resources": [resource]})


def arrow(vendor: str, base: str) -> Any:
    """A resource of our own, as fast as it goes: pages parsed by orjson, yielded as Arrow."""
    asked = ASKED[vendor]

    def tables() -> Iterator[pa.Table]:
        with requests.Session() as session:
            for page in range(1, sys.maxsize):
                response = session.get(base + asked["path"], params={**asked["params"], "page": page}, timeout=60)
                rows = orjson.loads(response.content)[asked["records"]]
                if not rows:
                    return
                if vendor == "pbxware":
                    yield pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)))
                else:
                    yield pa.Table.from_pylist(rows)

    return dlt.resource(tables, name="calls")


def main() -> None:
    way, vendor, base = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="tollbook-dlt-") as folder:
        pipeline = dlt.pipeline(
            "peer",
            pipelines_dir=f"{folder}/pipelines",
            destination=dlt.destinations.filesystem(bucket_url=Path(folder, "out").as_uri()),
            dataset_name="calls",
        )
        made = rest_api(vendor, base) if way == "rest_api" else arrow(vendor, base)
        started = time.perf_counter()
        pipeline.run(made, loader_file_format="parquet")
        seconds = time.perf_counter() - started
        rows = sum(pa.parquet.read_metadata(path).num_rows for path in Path(folder, "out", "calls", "calls").iterdir())
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert peak is not None
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mib": int(peak[1]) / 1024}))


if __name__ == "__main__":
    import pyarrow.parquet

    main()
