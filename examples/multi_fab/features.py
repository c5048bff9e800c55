"""What is known of a lot, of its fab, its product and the whole company when it is probed."""

from typing import Any

import skewless as sl

lot = sl.Entity("lot", lot_id=str)
fab = sl.Entity("fab", fab_id=str)
line = sl.Entity("line", fab_id=str, product=str)  # a product as one fab makes it
company = sl.Entity("company")  # without a key: all fabs together

probes = sl.Source(
    "probes",
    schema={
        "lot_id": str,
        "fab_id": str,
        "product": str,
        "leakage": sl.Column(float, "median leakage current of the lot", unit="uA"),
        "vth": sl.Column(float, "median threshold voltage", unit="V"),
        "wafers": sl.Column(int, "wafers of the lot that were probed"),
    },
    event_time="probed_at",
    delay="10m",  # the probe is at hand in minutes, in every fab
    row_id="lot_id",
    table=sl.Parquet("data/probes/"),
)
results = sl.Source(
    "results",
    schema={
        "lot_id": str,
        "fab_id": str,
        "product": str,
        "yield_pct": sl.Column(float, "dies that pass final test", unit="%", between=(0, 100)),
    },
    event_time="tested_at",
    known_time="received_at",  # each fab sends its results at its own pace, up to two days late
    row_id="lot_id",  # a lot that is tested again corrects its first result
    table=sl.Parquet("data/results/"),
)


@sl.feature_view(entity=lot, source=probes, owner="yield")
class Lot:
    """The probe of the lot itself."""

    measured = probes.latest("leakage", "vth", "wafers")


def yields(days: str) -> dict[str, Any]:
    """The same figures of final test for whatever they are grouped by."""
    low = results.where(results.yield_pct < 80)
    return {
        "mean": results.yield_pct.mean(days),
        "std": results.yield_pct.std(days),
        "low": low.count(days) / results.count(days),
        "trend": results.yield_pct.trend(last=60, recent=8),
    }


def named(prefix: str, days: str) -> dict[str, Any]:
    """These figures with a prefix: one vector has those of the fab, the line and the company."""
    return {f"{prefix}_{name}": value for name, value in yields(days).items()}


Fab = sl.FeatureView(
    "Fab", entity=fab, source=results, owner="yield", freshness="2d", features=named("fab", "14d")
)
Line = sl.FeatureView(
    "Line", entity=line, source=results, owner="yield", features=named("line", "14d")
)
Company = sl.FeatureView(
    "Company", entity=company, source=results, owner="yield", features=named("company", "14d")
)


@sl.feature_view(entity=line, source=probes, owner="yield")
class LineProbes:
    """How the line has been probing: what a lot is compared with."""

    usual_leakage = probes.leakage.mean(last=40)
    leakage_spread = probes.leakage.std(last=40)
    vth_leakage = probes.vth.corr(probes.leakage, "14d")


@sl.on_demand
class Compared:
    """A lot against its line, its fab against the company."""

    leakage_score = (Lot["leakage"] - LineProbes.usual_leakage) / LineProbes.leakage_spread
    fab_gap = Fab["fab_mean"] - Company["company_mean"]
    line_gap = Line["line_mean"] - Fab["fab_mean"]


yield_model = sl.FeatureService(
    "yield_model",
    [Lot, Fab, Line, Company, LineProbes, Compared],
    description="Will the lot fall short of 80 % at final test?",
    owner="yield",
)
