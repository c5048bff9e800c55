"""Features of wafers and of the fabs that test them."""

import skewless as sl

wafer = sl.Entity("wafer", wafer_id=str)
fab = sl.Entity("fab", fab_id=str)

tests = sl.Source(
    "wafer_tests",
    schema={
        "wafer_id": str,
        "fab_id": str,
        "vdd": float,  # supply voltage, V
        "idd": float,  # supply current, mA
        "frequency": float,  # highest frequency that passes, MHz
        "temperature": float,  # of the chuck, degrees C
        "yield_pct": float,  # dies that pass, per cent
    },
    event_time="tested_at",
    known_time="ingested_at",  # the tester uploads its results minutes later
    row_id=("wafer_id", "tested_at"),  # the same result twice counts once
    table=sl.Parquet("data/wafer_tests/"),
    stream=sl.Files("landing/"),  # lines of JSON that testers append
    description="Results of the probe test of a wafer.",
)


@sl.feature_view(entity=wafer, source=tests, owner="test-engineering")
class WaferTest:
    """The newest test of a wafer."""

    measured = tests.latest("vdd", "idd", "frequency", "temperature", "yield_pct")
    power = tests.vdd.latest() * tests.idd.latest()
    times_tested = tests.count(sl.lifetime())


@sl.feature_view(
    entity=fab, source=tests, owner="test-engineering", freshness="10m", tags={"domain": "yield"}
)
class FabRolling:
    """Rolling electrical statistics of a fab, over its last 100 wafers."""

    vdd_mean = tests.vdd.mean(last=100)
    vdd_std = tests.vdd.std(last=100)
    vdd_min = tests.vdd.min(last=100)
    vdd_max = tests.vdd.max(last=100)
    idd_mean = tests.idd.mean(last=100)
    frequency_mean = tests.frequency.mean(last=100)
    yield_mean = tests.yield_pct.mean(last=100)
    yield_std = tests.yield_pct.std(last=100)
    yield_trend = tests.yield_pct.trend(last=100, recent=10)  # newest 10 against the 90 before
    low_yield = tests.where(tests.yield_pct < 80).count("1h")
    seconds_since_test = tests.since_last()


@sl.on_demand
class Relative:
    """A wafer against its fab."""

    vdd_score = (WaferTest.vdd - FabRolling.vdd_mean) / FabRolling.vdd_std


scrap_model = sl.FeatureService(
    "scrap_model",
    [
        WaferTest, FabRolling.vdd_mean, FabRolling.vdd_std, FabRolling.yield_mean,
        FabRolling.yield_trend, Relative,
    ],
    description="Will the wafer be scrapped at final inspection?",
    owner="test-engineering",
)  # fmt: skip
