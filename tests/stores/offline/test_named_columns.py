"""Tables that call columns otherwise than their source: as if they were written by its names."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.plugins import table_reader
from skewless.testing.clock import SettableClock

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NAMES = {"card_id": "karte", "paid": "amount_eur", "at": "ts", "seen": "geladen", "pay_id": "nr"}
ROWS = pa.table(
    {
        "pay_id": ["1", "2", "3", "4", "2"],
        "card_id": ["a", "a", "b", "a", "a"],
        "paid": [1.0, 2.0, 4.0, None, 8.0],
        "at": [NOON - timedelta(minutes=m) for m in (50, 40, 30, 20, 40)],
        "seen": [NOON - timedelta(minutes=m) for m in (50, 35, 30, 5, 10)],
    }
)
"""The last one corrects the second; beside these is a column of a name that the source gives."""
OTHERS = {"paid": ["no", "such", "thing", "as", "this"]}

Write = Callable[[pa.Table, Path], Any]


def parquet(rows: pa.Table, folder: Path) -> Callable[..., Any]:
    pq.write_table(rows.slice(0, 2), folder / "0.parquet")
    pq.write_table(rows.slice(2), folder / "1.parquet")
    return lambda **given: sl.Parquet(str(folder), **given)


def csv(rows: pa.Table, folder: Path) -> Callable[..., Any]:
    pyarrow.csv.write_csv(rows, folder / "0.csv")
    return lambda **given: sl.CSV(str(folder), **given)


def frame(rows: pa.Table, folder: Path) -> Callable[..., Any]:
    return lambda **given: sl.Frame(rows, **given)


def delta(rows: pa.Table, folder: Path) -> Callable[..., Any]:
    pytest.importorskip("deltalake").write_deltalake(str(folder / "t"), rows)
    return lambda **given: sl.Delta(str(folder / "t"), **given)


KINDS = [parquet, csv, frame, delta]


def source(table: Any) -> sl.Source:
    return sl.Source(
        "pays",
        schema={"pay_id": str, "card_id": str, "paid": float},
        event_time="at",
        known_time="seen",
        row_id="pay_id",
        table=table,
    )


def view(rows: sl.Source) -> sl.FeatureView:
    features = {
        "total": rows.paid.sum("1h"),
        "newest": rows.paid.latest(),
        "many": rows.count("1h"),
        "each": rows.paid.last_n(4),
    }
    card = sl.Entity("card", card_id=str)
    return sl.FeatureView("Spend", entity=card, source=rows, features=features)


def found(folder: Path, table: Any, *, push: bool) -> list[Any]:
    """What every path has: training sets, states, pushes after them, all of the values."""
    clock = SettableClock(to_micros(NOON))
    with sl.FeatureStore(folder, clock=clock) as fs:
        spend = view(source(table))
        fs.apply(spend)
        fs.materialize()
        if push:
            again = {"pay_id": "3", "card_id": "a", "paid": 16.0, "at": NOON, "seen": NOON}
            fs.push("pays", [again, {**again, "pay_id": "5", "card_id": "b"}])
        spine = [
            {"card_id": card, "t": NOON - timedelta(minutes=m)} for card in "ab" for m in (0, 7, 33)
        ]
        training = fs.get_historical_features(spine, spend, timestamp="t").to_dict()
        online = fs.get_online_features(spend, {"card_id": ["a", "b", "c"]})
        now = fs.get_historical_features(
            [{"card_id": c, "t": NOON} for c in "abc"], spend, timestamp="t"
        ).to_dict()
        assert {name: now[name] for name in spend.features} == {
            name: online.to_dict()[name] for name in spend.features
        }
        changes = fs.read_features(spend).to_pylist()
        one = fs.explain("Spend:total", {"card_id": "a"})
        assert fs.verify().ok
        return [training, online.to_rows(), online.to_statuses(), changes, one.value]


@pytest.mark.parametrize("push", [False, True], ids=["table", "table and pushes"])
@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_every_path_has_what_it_has_of_the_same_table_by_the_sources_names(
    tmp_path: Path, write: Write, push: bool
) -> None:
    theirs = ROWS.rename_columns([NAMES[name] for name in ROWS.column_names])
    for name, values in OTHERS.items():
        theirs = theirs.append_column(name, pa.array(values))
    folders = [tmp_path / each for each in ("plain", "named", "one", "other")]
    for folder in folders:
        folder.mkdir()
    plain, named = write(ROWS, folders[0])(), write(theirs, folders[1])(columns=NAMES)
    assert found(folders[2], plain, push=push) == found(folders[3], named, push=push)


@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_a_schema_that_is_read_from_the_table_has_the_sources_names(
    tmp_path: Path, write: Write
) -> None:
    table = write(ROWS, tmp_path)(columns={"euros": "paid"})
    rows = sl.Source("pays", event_time="at", known_time="seen", table=table)
    assert sorted(rows.schema) == ["card_id", "euros", "pay_id"]
    reader = table_reader(table)
    assert "paid" not in reader.schema()
    assert reader.take(pa.array([0, 2]).to_numpy(), ["euros"]).to_pydict() == {"euros": [1, 4]}


def test_a_table_that_is_said_to_call_it_otherwise_is_read_anew(tmp_path: Path) -> None:
    rows = ROWS.append_column("other", pa.array([9.0] * 5)).append_column("id2", pa.array("vwxyz"))
    pq.write_table(rows, tmp_path / "pays.parquet")
    path, folder = str(tmp_path / "pays.parquet"), tmp_path
    with sl.FeatureStore(folder, clock=SettableClock(to_micros(NOON))) as fs:
        fs.apply(view(source(sl.Parquet(path))))
        key = {"card_id": "a"}
        assert fs.get_online_features("Spend", key)["total"][0] == 9.0
        fs.push("pays", [{"pay_id": "1", "card_id": "a", "paid": 3.0, "at": NOON, "seen": NOON}])
        assert fs.get_online_features("Spend", key)["total"][0] == 11.0
        plan = fs.apply(view(source(sl.Parquet(path, columns={"paid": "other"}))))
        assert "changed storage" in str(plan)
        assert fs.get_online_features("Spend", key)["total"][0] == 21.0
        # Another column is the row id: what was pushed corrects no row of the table any more.
        by_other = sl.Parquet(path, columns={"paid": "other", "pay_id": "id2"})
        fs.apply(view(source(by_other)))
        assert fs.get_online_features("Spend", key)["many"][0] == 5
        spine = [key | {"t": NOON}]
        assert fs.get_historical_features(spine, "Spend", timestamp="t")["many"][0] == 5
        corrected = {"pay_id": "v", "card_id": "a", "paid": 4.0, "at": NOON, "seen": NOON}
        assert fs.push("pays", [corrected]).corrections == 1
        assert fs.get_online_features("Spend", key)["many"][0] == 5
        assert fs.get_historical_features(spine, "Spend", timestamp="t")["many"][0] == 5
        assert fs.verify().ok


def test_a_renamed_column_of_a_table_makes_new_versions_and_old_ones_serve_on(
    tmp_path: Path,
) -> None:
    pq.write_table(ROWS, tmp_path / "pays.parquet")
    path, card = str(tmp_path / "pays.parquet"), sl.Entity("card", card_id=str)

    def spend(name: str, **columns: str) -> sl.FeatureView:
        rows = sl.Source(
            "pays",
            schema={"card_id": str, name: float},
            event_time="at",
            table=sl.Parquet(path, columns=columns),
        )
        total = rows[name].sum("1d")
        return sl.FeatureView("Spend", entity=card, source=rows, features={"total": total})

    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as fs:
        fs.apply([spend("paid"), sl.FeatureService("model", [spend("paid")])])
        fs.apply(spend("euros", euros="paid"), allow_breaking=True)
        assert fs.runtime.state().pins["model"] == ("Spend@v1:total",)
        spine = [{"card_id": "a", "t": NOON}]
        for features in ("model", "Spend"):
            assert fs.get_online_features(features, {"card_id": "a"})["total"][0] == 11.0
            found = fs.get_historical_features(spine, features, timestamp="t")
            assert found["total"][0] == 11.0


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"paid": 3}, "columns"),
        (["paid"], "columns"),
        ({"paid": "x", "card_id": "x"}, "two columns are column 'x'"),
        ({"payd": "x"}, "no column 'payd'.*Did you mean"),
    ],
)
def test_what_is_no_name_is_said_where_it_is_written(columns: Any, why: str) -> None:
    with pytest.raises(sl.SkewlessError, match=f"(?s){why}"):
        source(sl.Parquet("data/", columns=columns))


def test_a_column_that_the_table_does_not_have_is_named_as_the_table_would(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "pays.parquet")
    table = sl.Parquet(str(tmp_path / "pays.parquet"), columns={"paid": "amount"})
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan(view(source(table))), build=False)
        with pytest.raises(sl.MissingColumn, match="amount"):
            fs.get_historical_features([{"card_id": "a", "t": NOON}], "Spend", timestamp="t")
