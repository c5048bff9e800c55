"""Capacity: the five cases of docs/scale.md, measured here, computed to full size.

python -m benchmarks capacity --out capacity.json
python -m benchmarks --table capacity.json                    # the tables of docs/scale.md
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skewless as sl
from benchmarks.harness import Line, Options
from benchmarks.report import table
from skewless.capacity.measure import machine_name, measure
from skewless.capacity.model import capacity
from skewless.capacity.rates import Load
from skewless.definitions.repo import Definitions

PRICES = Path(__file__).with_name("prices.toml")
COMMON = {"copies": 2, "busy": 0.6, "rebuild_hours": 24}


@dataclass(frozen=True)
class Case:
    """A load and the definitions that it is about.

    Attributes:
        name: of it.
        views: what is served.
        load: rates, as a file of rates has them, without prices.
    """

    name: str
    views: tuple[Any, ...]
    load: dict[str, Any]


def fabs() -> Case:
    """5 fabs, 10 million wafers a year, 200 tests each."""
    tests = sl.Source(
        "tests", event_time="at", schema={"fab": str, "vdd": float, "idd": float, "ok": bool}
    )

    @sl.feature_view(entity=sl.Entity("fab", fab=str), source=tests)
    class Fab:
        vdd = tests.vdd.mean(last=100)
        idd = tests.idd.mean("1h", resolution="1m")
        failed = tests.where(~tests.ok).count("24h", resolution="5m")

    load = {
        "history_days": 730,
        "sources": {"tests": {"events_per_second": 10e6 * 200 / YEAR, "entities": {"fab": 5}}},
        "reads": {"Fab": 100},
    }
    return Case("fabs", (Fab,), load)


def testers() -> Case:
    """100 billion rows in two years, of 2,000 testers."""
    rows = sl.Source(
        "measured", event_time="at", schema={"tester": str, "site": int, "value": float}
    )

    @sl.feature_view(entity=sl.Entity("tester", tester=str), source=rows)
    class Tester:
        mean = rows.value.mean("1h", "24h", resolution="5m")
        std = rows.value.std("24h", resolution="5m")
        newest = rows.value.latest()

    load = {
        "history_days": 730,
        "sources": {
            "measured": {
                "events_per_second": 100e9 / (2 * YEAR),
                "entities": {"tester": 2_000},
                "hottest_share": 0.005,
            }
        },
        "reads": {"Tester": 1_000},
    }
    return Case("testers", (Tester,), load)


def clinical() -> Case:
    """Seven years of labs of five million patients, 40 a year each."""
    labs = sl.Source(
        "labs", event_time="drawn", schema={"patient": str, "code": str, "value": float}
    )

    @sl.feature_view(entity=sl.Entity("patient", patient=str), source=labs)
    class Patient:
        newest = labs.value.latest()
        values = labs.value.mean("365d", "2555d")
        drawn = labs.count("90d", "365d")

    load = {
        "history_days": 7 * 365,
        "sources": {
            "labs": {"events_per_second": 5e6 * 40 / YEAR, "entities": {"patient": 5_000_000}}
        },
        "reads": {"Patient": 500},
    }
    return Case("clinical", (Patient,), load)


def fraud() -> Case:
    """100,000 payments a second of a billion cards."""
    payments = sl.Source(
        "payments", event_time="at", schema={"card": str, "amount": float, "country": str}
    )

    @sl.feature_view(entity=sl.Entity("card", card=str), source=payments)
    class Card:
        spent = payments.amount.sum("1h", "24h", "7d")
        count = payments.count("1h", "24h", "7d")
        country = payments.country.latest()

    load = {
        "history_days": 365,
        "sources": {
            "payments": {
                "events_per_second": 100_000,
                "entities": {"card": 1_000_000_000},
                "hottest_share": 1e-6,
            }
        },
        "reads": {"Card": 100_000},
    }
    return Case("fraud", (Card,), load)


def recommendations() -> Case:
    """A million vectors a second, of 200 million users with 50,000 clicks a second."""
    clicks = sl.Source(
        "clicks", event_time="at", schema={"user": str, "item": str, "seconds": float}
    )

    @sl.feature_view(entity=sl.Entity("user", user=str), source=clicks)
    class User:
        items = clicks.item.last_n(20)
        clicks_1d = clicks.count("1d", resolution="1h")
        seconds = clicks.seconds.mean("7d", resolution="6h")

    load = {
        "history_days": 365,
        "sources": {"clicks": {"events_per_second": 50_000, "entities": {"user": 200_000_000}}},
        "reads": {"User": 1_000_000},
    }
    return Case("recommendations", (User,), load)


YEAR = 365 * 86_400
CASES = (fabs, testers, clinical, fraud, recommendations)


def run(options: Options) -> dict[str, Any]:
    """Measure each case and compute what it needs."""
    prices, found = tomllib.loads(PRICES.read_text(encoding="utf-8")), {}
    for make in CASES:
        case = make()
        if options.only and not any(text in case.name for text in options.only):
            continue
        load = Load.of({**COMMON, **case.load, "prices": prices}, f"the case {case.name}")
        figures = measure(Definitions.of(*case.views), load, machine_name())
        needs = capacity(load, figures)
        found[case.name] = {
            "about": make.__doc__,
            "figures": figures.to_dict(),
            "needs": needs.to_dict(),
        }
    return found


def summary(_result: dict[str, Any]) -> list[Line]:
    """Return nothing: no peer says what it needs."""
    return []


def details(results: dict[str, Any]) -> list[str]:
    """Return the tables of docs/scale.md."""
    parts: list[str] = []
    for name, case in results.items():
        measured = [
            f"{s['state_bytes']:,.0f} B a state, {s['row_seconds'] * 1e6:.1f} us of a core for a "
            f"row, {s['rebuild_seconds'] * 1e6:.1f} us for one that is built again, "
            f"{s['log_bytes']:.1f} B of log for a row"
            for s in case["figures"]["sources"]
        ]
        reads = [f"{s * 1e6:.0f} us for a read" for s in case["figures"]["read_seconds"].values()]
        parts += [f"### {name.capitalize()}", "", case["about"], ""]
        parts += [f"Measured: {', '.join([*measured, *reads])}.", ""]
        lines = [[x["what"], x["value"], x["because"]] for x in case["needs"]["lines"]]
        parts += [*table(["what", "", "because"], lines), ""]
        limits = [[x["what"], f"{x['times']:.3g}", x["because"]] for x in case["needs"]["limits"]]
        parts += [*table(["gives way", "times", "because"], limits), ""]
        parts += [f"{note}\n" for note in case["needs"]["notes"] if "beyond" in note]
    return parts
