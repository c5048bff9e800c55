"""What the map of a wafer tells: where its faults lie, and how its dies behave."""

import skewless as sl

wafer = sl.Entity("wafer", wafer_id=str)
fab = sl.Entity("fab", fab_id=str)

dies = sl.Source(
    "dies",
    schema={
        "wafer_id": str,
        "fab_id": str,
        "x": sl.Column(int, "column of the die, from the centre"),
        "y": sl.Column(int, "row of the die, from the centre"),
        "radius": sl.Column(float, "distance from the centre, 1 at the edge"),
        "vdd": sl.Column(float, "supply voltage", unit="V"),
        "idd": sl.Column(float, "supply current", unit="mA"),
        "passed": bool,
    },
    event_time="tested_at",
    known_time="uploaded_at",  # a fab uploads whole wafers
    row_id=("wafer_id", "x", "y"),  # a die that is tested anew corrects its first result
    table=sl.Parquet("data/dies/"),
)
ever = sl.lifetime()
faults = dies.where(~dies.passed)
edge = dies.where(dies.radius > 0.8)
centre = dies.where(dies.radius < 0.4)


@sl.feature_view(entity=wafer, source=dies, owner="yield", tags={"domain": "wafer map"})
class WaferMap:
    """Where the faults of a wafer lie."""

    tested = dies.count(ever)
    good = 1 - faults.count(ever) / dies.count(ever)
    edge_bad = edge.where(~dies.passed).count(ever) / edge.count(ever)
    centre_bad = centre.where(~dies.passed).count(ever) / centre.count(ever)
    fault_radius = faults.radius.mean(ever)
    fault_spread = faults.radius.std(ever)
    fault_line = faults.x.corr(faults.y, ever)  # 1 or -1: they lie on a line, a scratch
    fault_x = faults.x.std(ever)
    fault_y = faults.y.std(ever)
    in_a_row = (~dies.passed).streak(last=20)
    flips = dies.passed.changes(ever)


@sl.feature_view(entity=wafer, source=dies, owner="yield")
class WaferElectrical:
    """How the dies of a wafer behave."""

    vdd_mean = dies.vdd.mean(ever)
    vdd_std = dies.vdd.std(ever)
    idd_mean = dies.idd.mean(ever)
    idd_std = dies.idd.std(ever)
    idd_worst = dies.idd.max(ever)
    together = dies.vdd.corr(dies.idd, ever)
    mA_per_V = dies.idd.beta(dies.vdd, ever)


@sl.feature_view(entity=fab, source=dies, owner="yield", freshness="1h")
class Fab:
    """How the fab does today."""

    fab_good = dies.where(dies.passed).count("24h") / dies.count("24h")
    fab_idd = dies.idd.mean("24h")


scrap_model = sl.FeatureService(
    "scrap_model",
    [WaferMap, WaferElectrical, Fab],
    description="Will the wafer be scrapped at final inspection?",
    owner="yield",
)
