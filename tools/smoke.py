"""Runs against an installed wheel: define, apply, push, read. Exits non-zero on any surprise.

python tools/smoke.py                 whatever was built
python tools/smoke.py --compiled      the modules in C have to be there
"""

import importlib
import sys
import tempfile
from datetime import UTC, datetime

import skewless as sl

COMPILED = (
    "skewless.aggregations.kernels._compiled",
    "skewless.stores.online.lmdb._pages",
    "skewless.stores.online.lmdb._rows",
    "skewless.state._texts",
    "skewless.state._windows",
    "skewless.state._reading",
    "skewless.state._inserting",
    "skewless.stores.online._sealing",
)
fab = sl.Entity("fab", fab_id=str)
tests = sl.Source("wafer_tests", schema={"fab_id": str, "vdd": float}, event_time="tested_at")


@sl.feature_view(entity=fab, source=tests)
class FabRolling:
    """Means of a fab."""

    vdd_mean = tests.vdd.mean(last=100)


def main() -> None:
    """Push two rows and read their mean."""
    if "--compiled" in sys.argv[1:]:
        for name in COMPILED:
            importlib.import_module(name)
    with tempfile.TemporaryDirectory() as directory:
        store = sl.FeatureStore(directory)
        store.apply(store.plan([fab, tests, FabRolling]))
        now = datetime.now(UTC)
        rows = [{"fab_id": "f1", "vdd": vdd, "tested_at": now} for vdd in (0.75, 1.25)]
        store.push("wafer_tests", rows)
        values = store.get_online_features(["FabRolling:vdd_mean"], [{"fab_id": "f1"}]).to_dict()
    if 1.0 not in values.get("vdd_mean", values.get("FabRolling:vdd_mean", [])):
        raise SystemExit(f"expected a mean of 1.0, got {values}")
    print("smoke: define, apply, push and read work")


if __name__ == "__main__":
    main()
