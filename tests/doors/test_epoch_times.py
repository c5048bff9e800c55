"""Numbers since 1970 as times: the unit is said once, and every door reads the same moment."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.ingest.stream.worker import StreamWorker
from skewless.testing.clock import SettableClock
from tests.cli.running import ran, run_in

AT = datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=UTC)
MICROS = to_micros(AT)
NOW = MICROS + 60_000_000
UNITS = {"s": MICROS / 1e6, "ms": MICROS // 1000, "us": MICROS, "ns": MICROS * 1000 + 999}


def view_of(unit: str, **places: Any) -> sl.FeatureView:
    source = sl.Source(
        "s", schema={"k": str, "v": float}, event_time=sl.Epoch("ts", unit), **places
    )
    features = {"v": source.v.latest(), "year": source.ts.year().max("1d")}
    return sl.FeatureView("V", entity=sl.Entity("e", k=str), source=source, features=features)


def newest(store: sl.FeatureStore) -> tuple[Any, Any]:
    """Value and event time, online; the training set has the same value."""
    found = store.get_online_features("V", [{"k": "a"}])
    spine = [{"k": "a", "t": datetime(2026, 1, 31, 12, 1, 5, tzinfo=UTC)}]
    training = store.get_historical_features(spine, "V", timestamp="t")
    assert (training["v"], training["year"]) == (found["v"], found["year"])
    return found["v"][0], found.to_event_times()["v"][0]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "kind", ["dicts", "text", "decimal", "arrow", "pandas", "polars", "moment"]
)
def test_pushed_in_every_form(tmp_path: Path, unit: str, kind: str) -> None:
    row: dict[str, Any] = {"k": "a", "v": 1.0, "ts": UNITS[unit]}
    table = pa.Table.from_pylist([row])
    given = {
        "dicts": [row],
        "text": [row | {"ts": str(row["ts"])}],
        "decimal": [row | {"ts": Decimal(str(row["ts"]))}],
        "moment": [row | {"ts": AT}],
        "arrow": table,
        "pandas": table.to_pandas(),
        "polars": pytest.importorskip("polars").from_arrow(table),
    }[kind]
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of(unit))
        assert store.push("s", given, backdate=True).accepted == 1
        assert newest(store) == (1.0, AT)


@pytest.mark.parametrize("unit", UNITS)
def test_read_from_a_table(tmp_path: Path, unit: str) -> None:
    pq.write_table(pa.table({"k": ["a"], "v": [2.0], "ts": [UNITS[unit]]}), tmp_path / "x.parquet")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of(unit, table=sl.Parquet("x.parquet")))
        assert newest(store) == (2.0, AT)


@pytest.mark.parametrize("unit", UNITS)
def test_streamed_as_json(tmp_path: Path, unit: str) -> None:
    (tmp_path / "live").mkdir()
    row = {"k": "a", "v": 3.0, "ts": UNITS[unit]}
    (tmp_path / "live" / "rows.json").write_text(json.dumps(row) + "\n")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of(unit, stream=sl.Files("live/")))
        StreamWorker(store.runtime, "s").run(once=True)
        assert newest(store) == (3.0, AT)


@pytest.mark.parametrize("unit", UNITS)
def test_pushed_as_csv(tmp_path: Path, unit: str) -> None:
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of(unit))
    (tmp_path / "rows.csv").write_text(f"k,v,ts\na,4.0,{UNITS[unit]}\n")
    ran(run_in(tmp_path, "push", "s", "rows.csv", "--backdate"))
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        assert newest(store) == (4.0, AT)


def test_unit_comes_back_from_the_registry_and_is_part_of_the_version(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of("ms"))
        assert store.sources["s"].epochs == {"ts": "ms"}
        assert store.plan(view_of("ms")).is_empty
    assert view_of("ms").fingerprint != view_of("s").fingerprint


def test_numbers_without_a_unit_are_refused_with_the_way_to_say_it(tmp_path: Path) -> None:
    source = sl.Source("s", schema={"k": str}, event_time="ts", table=sl.Parquet("x.parquet"))
    view = sl.FeatureView(
        "V", entity=sl.Entity("e", k=str), source=source, features={"n": source.count("1d")}
    )
    pq.write_table(pa.table({"k": ["a"], "ts": [MICROS]}), tmp_path / "x.parquet")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view, build=False)
        with pytest.raises(sl.InputError, match="sl.Epoch"):
            store.get_historical_features([{"k": "a", "t": AT}], "V", timestamp="t")
    with pytest.raises(sl.DefinitionError, match="'s' or 'ms' or 'us' or 'ns'"):
        sl.Epoch("ts", "minutes")


def test_what_is_no_moment_is_set_aside_alone(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of("ms"))
        rows = [
            {"k": "a", "v": 1.0, "ts": ts}
            for ts in (UNITS["ms"], True, 10**18, "soon", float("inf"))
        ]
        result = store.push("s", rows, backdate=True)
        assert (result.accepted, [each.row for each in result.quarantined]) == (1, [1, 2, 3, 4])


@pytest.mark.parametrize("kind", ["csv", "text", "decimal", "mixed"])
def test_a_table_reads_the_forms_that_a_push_does(tmp_path: Path, kind: str) -> None:
    second = str(MICROS / 1e6)
    times: dict[str, list[Any]] = {
        "text": [second, None],
        "decimal": [Decimal(second), None],
        "mixed": [f" {second} ", "2026-01-31T11:00:00Z"],
    }
    if kind == "csv":
        (tmp_path / "x.csv").write_text(f"k,v,ts\na,2.0,{second}\na,1.0,NA\n")
        place: Any = sl.CSV("x.csv")
    else:
        table = pa.table({"k": ["a", "a"], "v": [2.0, 1.0], "ts": times[kind]})
        pq.write_table(table, tmp_path / "x.parquet")
        place = sl.Parquet("x.parquet")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of("s", table=place))
        assert newest(store) == (2.0, AT)


def test_a_number_that_is_none_is_null_in_a_table_too(tmp_path: Path) -> None:
    table = pa.table({"k": ["a", "a"], "v": [2.0, 1.0], "ts": [UNITS["s"], float("nan")]})
    pq.write_table(table, tmp_path / "x.parquet")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        store.apply(view_of("s", table=sl.Parquet("x.parquet")))
        assert newest(store) == (2.0, AT)


def test_another_unit_builds_states_and_row_ids_of_the_table_anew(tmp_path: Path) -> None:
    table = pa.table({"k": ["a", "a"], "v": [7.0, 9.0], "ts": [UNITS["ms"], UNITS["ms"] // 4]})
    pq.write_table(table, tmp_path / "x.parquet")
    spine = [{"k": "a", "t": datetime(2026, 1, 31, 12, 1, 5, tzinfo=UTC)}]
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        for unit, expected in (("us", 0.0), ("ms", 7.0)):
            source = sl.Source(
                "s",
                schema={"k": str, "v": float},
                event_time=sl.Epoch("ts", unit),
                row_id="v",
                table=sl.Parquet("x.parquet"),
            )
            features = {"total": source.v.sum("1d")}
            entity = sl.Entity("e", k=str)
            view = sl.FeatureView("V", entity=entity, source=source, features=features)
            store.apply(view, allow_breaking=True)
            assert store.get_online_features("V", [{"k": "a"}])["total"] == [expected]
            assert store.get_historical_features(spine, "V", timestamp="t")["total"] == [expected]
            same = {"k": "a", "v": 7.0, "ts": UNITS["ms"]}
            assert store.push("s", [same], backdate=True).duplicates == 1
            report = store.verify()
            assert report.ok, str(report)
            assert store.get_online_features("V", [{"k": "a"}])["total"] == [expected]


def test_versions_from_before_a_source_changed_have_rows_of_their_own(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"k": ["a"], "v": [7.0], "ts": [MICROS // 1000]}), tmp_path / "x.parquet"
    )
    spine = [{"k": "a", "t": datetime(2026, 1, 31, 12, 1, tzinfo=UTC)}]
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as store:
        for unit in ("us", "ms"):
            source = sl.Source(
                "s",
                schema={"k": str, "v": float},
                event_time=sl.Epoch("ts", unit),
                table=sl.Parquet("x.parquet"),
            )
            features = {"total": source.v.sum("1d"), "many": source.count("1d")}
            entity = sl.Entity("e", k=str)
            view = sl.FeatureView("V", entity=entity, source=source, features=features)
            store.apply(view, allow_breaking=True)
        for asked, expected in (
            (["V@v1:total", "V@v2:many"], (0.0, 1)),
            (["V@v2:total", "V@v1:many"], (7.0, 0)),
        ):
            online = store.get_online_features(asked, [{"k": "a"}])
            training = store.get_historical_features(spine, asked, timestamp="t")
            for found in (online, training):
                assert (found["total"][0], found["many"][0]) == expected
            assert store.verify(served=[online]).ok
