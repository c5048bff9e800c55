"""What a die's neighbours tell: a wafer is a row, made of the rows of its dies."""

import numpy as np

import skewless as sl

wafer = sl.Entity("wafer", wafer_id=str)

DIES = 137
"""Of a wafer: 13 by 13 without the corners."""

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
    known_time="uploaded_at",
    row_id=("wafer_id", "x", "y"),  # a die that is tested anew corrects its first result
)


@sl.derived(
    source=dies,
    by="wafer_id",
    rows=DIES,
    columns=["x", "y", "radius", "idd", "passed"],
    returns={
        "around": sl.Column(sl.Vector(DIES), "mean current of the eight neighbours", unit="mA"),
        "rough": sl.Column(sl.Vector(DIES), "variance of it among die and neighbours"),
        "worst_around": sl.Column(float, "the largest of around", unit="mA"),
        "rough_mean": sl.Column(float, "mean of rough"),
        "alike": sl.Column(float, "how a die's current goes with its neighbours': Moran's I"),
        "edge_centre": sl.Column(float, "current at the edge above the centre's", unit="mA"),
        "bad_pairs": sl.Column(int, "pairs of neighbours that both failed"),
    },
)
def wafer_map(rows):
    """The map of a wafer: each die against its eight neighbours, edge against centre."""
    side = 13
    x, y = rows["x"].astype(int) + side // 2 + 1, rows["y"].astype(int) + side // 2 + 1
    idd, bad = np.full((side + 2, side + 2), np.nan), np.zeros((side + 2, side + 2))
    idd[y, x] = rows["idd"]
    bad[y, x] = ~rows["passed"].astype(bool)
    shifts = [(a, b) for a in (0, 1, 2) for b in (0, 1, 2)]
    idds = np.array([idd[a : a + side, b : b + side] for a, b in shifts])
    bads = np.array([bad[a : a + side, b : b + side] for a, b in shifts])
    there = ~np.isnan(idds)
    known = np.where(there, idds, 0.0)
    middle = there[4]
    count = there.sum(axis=0)
    mean = known.sum(axis=0) / np.maximum(count, 1)
    rough = (np.where(there, idds - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count, 1)
    around = (known.sum(axis=0) - known[4]) / np.maximum(count - 1, 1)
    own = idds[4][middle]
    off = own - own.mean()
    near = around[middle] - own.mean()
    place = (y - 1, x - 1)  # the order of the rows
    outer, inner = rows["radius"] > 0.8, rows["radius"] < 0.4
    return {
        "around": around[place],
        "rough": rough[place],
        "worst_around": around[middle].max(),
        "rough_mean": rough[middle].mean(),
        "alike": (off * near).sum() / (off * off).sum(),
        "edge_centre": rows["idd"][outer].mean() - rows["idd"][inner].mean(),
        "bad_pairs": int((bads[4] * (bads.sum(axis=0) - bads[4])).sum()) // 2,
    }


@sl.feature_view(entity=wafer, source=wafer_map, owner="yield", tags={"domain": "wafer map"})
class WaferSpatial:
    """The newest map of a wafer."""

    around = wafer_map.around.latest()
    rough = wafer_map.rough.latest()
    worst_around = wafer_map.worst_around.latest()
    rough_mean = wafer_map.rough_mean.latest()
    alike = wafer_map.alike.latest()
    edge_centre = wafer_map.edge_centre.latest()
    bad_pairs = wafer_map.bad_pairs.latest()


spatial_model = sl.FeatureService(
    "spatial_model", [WaferSpatial], description="Will the wafer be scrapped?", owner="yield"
)
