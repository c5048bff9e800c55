"""A training set is made again from the tables as they were."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyiceberg.catalog import load_catalog

import skewless as sl
from skewless.errors import InputError, UnknownName

SPINE = [{"card": "a", "when": "2026-01-02T00:00:00Z"}]


def rows(amount: float) -> pa.Table:
    at = pa.array(["2026-01-01T00:00:00Z"]).cast(pa.timestamp("us", "UTC"))
    return pa.table({"card": ["a"], "amount": [amount], "at": at})


class Written:
    """A table that grows by a row with every `add`."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.place = {
            "type": "sql",
            "uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"file://{folder}/warehouse",
        }
        settings = "".join(f'{key} = "{value}"\n' for key, value in self.place.items())
        (folder / "skewless.toml").write_text(f"[connections.lake]\n{settings}")
        if kind == "iceberg":
            catalog = load_catalog("lake", **self.place)
            catalog.create_namespace("shop")
            self.table: Any = catalog.create_table("shop.payments", schema=rows(0.0).schema)

    def add(self, amount: float) -> None:
        if self.kind == "iceberg":
            self.table.append(rows(amount))
        else:
            write_deltalake(self.folder / "payments", rows(amount), mode="append")

    @property
    def definition(self) -> Any:
        if self.kind == "iceberg":
            return sl.Iceberg("shop.payments", catalog="lake")
        return sl.Delta("payments")


@pytest.fixture(params=["delta", "iceberg"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    return Written(request.param, tmp_path)


def view_over(table: Any) -> sl.FeatureView:
    source = sl.Source(
        "payments", schema={"card": str, "amount": float}, event_time="at", table=table
    )
    card = sl.Entity("card", card=str)
    total = source["amount"].sum("7d")
    return sl.FeatureView("Spend", entity=card, source=source, features={"total": total})


def test_the_states_that_were_read_give_the_same_training_set_again(written: Written) -> None:
    written.add(1.0)
    with sl.FeatureStore(written.folder) as fs:
        fs.apply(view_over(written.definition))
        first = fs.get_historical_features(SPINE, "Spend", timestamp="when")
        written.add(10.0)
        newest = fs.get_historical_features(SPINE, "Spend", timestamp="when")
        again = fs.get_historical_features(SPINE, "Spend", timestamp="when", tables=first.tables)
        assert first.differences() == {"total": 0}
    assert [each.to_dict()["total"] for each in (first, newest, again)] == [[1.0], [11.0], [1.0]]
    assert again.tables == first.tables != newest.tables


def test_a_state_that_is_no_state_of_the_table_is_refused(written: Written) -> None:
    written.add(1.0)
    with sl.FeatureStore(written.folder) as fs:
        fs.apply(view_over(written.definition))
        with pytest.raises(InputError, match=r"'payments' cannot be read as it was.*revision"):
            fs.get_historical_features(
                SPINE, "Spend", timestamp="when", tables={"payments": {"revision": 1}}
            )
        with pytest.raises(UnknownName, match="no source 'paymints'.*payments"):
            fs.get_historical_features(
                SPINE, "Spend", timestamp="when", tables={"paymints": {"version": 1}}
            )


def test_a_moment_names_the_state_of_then(tmp_path: Path) -> None:
    written = Written("delta", tmp_path)
    written.add(1.0)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view_over(written.definition))
        later = {"payments": "2999-01-01T00:00:00Z"}
        found = fs.get_historical_features(SPINE, "Spend", timestamp="when", tables=later)
        assert found.to_dict()["total"] == [1.0]
        assert found.tables == {"payments": {"version": 0, "as_of": None}}


def test_a_table_that_cannot_go_back_says_so(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view_over(sl.Frame(rows(1.0))))
        assert fs.get_historical_features(SPINE, "Spend", timestamp="when").tables == {}
        with pytest.raises(InputError, match="a table of Delta or Iceberg"):
            fs.get_historical_features(
                SPINE, "Spend", timestamp="when", tables={"payments": "2026-01-01T00:00:00Z"}
            )
