"""The catalogue: CPU of each kind of page, and what it weighs, at three sizes of a repo.

The repo is that of `benchmarks.search_catalog` (teams beside each other), and one payer with a
thousand payments, one in ten late. A page is asked for twice: the first time it reads the
registry, builds the index of search, or asks every log how fresh it is.

    python -m benchmarks ui
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all
from benchmarks.search import renamed

PAGES = {
    "home": "/",
    "search": "/search?q=spend+last+month",
    "all": "/search?all=1",
    "views": "/views",
    "feature": "/features/Paid:total_1h",
    "lineage": "/lineage?of=Paid:total_1h",
    "values": "/explore?of=payer&key.payer_id=p1",
    "then": "/explore?of=payer&key.payer_id=p1&at=2026-01-01T12:00:00Z",
    "rows": "/explore?of=payer&key.payer_id=p1&feature=Paid:total_1h",
}
HEADINGS = {
    "features": "features",
    **{f"{name}_ms": f"{name}: CPU ms" for name in PAGES},
    **{f"{name}_first_ms": f"{name}, the first time" for name in ("home", "search", "views")},
    **{f"{name}_kb": f"{name}: kB gzip" for name in ("home", "all", "rows")},
    "static_kb": "styles and scripts: kB",
}
_ROWS = 1_000
_NOON = 1_767_268_800_000_000


def run(options: Options) -> Figures:
    """Measure every kind of page at three sizes."""
    copies = (1, 4, 35)[: options.pick(1, 2, 3)]
    contenders = [
        Contender(f"{many} x 8 teams", "benchmarks.ui:shown", {"copies": many}) for many in copies
    ]
    title = "The catalogue: CPU and weight of pages"
    return {"title": title, "contenders": run_all(contenders, options)}


def shown(clock: Clock, copies: int) -> dict[str, Any]:
    """Ask for each kind of page twice."""
    from starlette.testclient import TestClient

    import skewless as sl
    import skewless.ui
    from skewless.clock import SettableClock
    from skewless.ui.app import make_app

    with (
        tempfile.TemporaryDirectory() as folder,
        sl.FeatureStore(folder, clock=SettableClock(_NOON)) as fs,
    ):
        fs.apply([*(made for copy in range(copies) for made in renamed(copy)), *paid()])
        fs.push("paid_rows", list(payments()))
        client = TestClient(make_app(fs), base_url="http://localhost")
        static = Path(skewless.ui.__file__).parent / "static"
        found: dict[str, Any] = {
            "features": sum(len(view.features) for view in fs.views.values()),
            "static_kb": round(sum(len(f.read_bytes()) for f in static.iterdir()) / 1e3, 1),
        }
        with clock:
            for name, path in PAGES.items():
                for turn in ("_first", ""):
                    start = cpu_seconds()
                    answer = client.get(path)
                    found[f"{name}{turn}_ms"] = round((cpu_seconds() - start) * 1e3, 1)
                    if answer.status_code != 200:
                        raise RuntimeError(f"{path} answers {answer.status_code}")
                found[f"{name}_kb"] = round(len(gzip.compress(answer.content)) / 1e3, 1)
    return found


def paid() -> list[Any]:
    """Return a view with rows that come late."""
    import skewless as sl

    rows = sl.Source(
        "paid_rows",
        schema={"payer_id": str, "amount": float, "row": int},
        event_time="at",
        known_time="came",
        row_id="row",
    )
    payer = sl.Entity("payer", payer_id=str)
    features = {
        "total": rows.amount.sum("1h", "24h"),
        "large": rows.where(rows.amount > 50).count("24h"),
        "last_20": rows.amount.mean(last=20),
    }
    return [sl.FeatureView("Paid", entity=payer, source=rows, features=features)]


def payments() -> Any:
    """Yield payments of one payer, a minute apart, up to the present."""
    from skewless.clock import from_micros

    for number in range(_ROWS):
        at = _NOON - number * 60_000_000
        came = min(_NOON, at + (3_600_000_000 if number % 10 == 0 else 1_000_000))
        yield {
            "payer_id": "p1", "row": number, "amount": float(number * 37 % 101),
            "at": from_micros(at), "came": from_micros(max(came, at)),
        }  # fmt: skip


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
