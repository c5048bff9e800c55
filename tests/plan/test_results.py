"""What reads give back is used like a table: columns, rows, frames."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skewless as sl
from skewless.testing.clock import SettableClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
CARD = sl.Entity("card", card_id=str)
PAYS = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
SPEND = sl.FeatureView(
    "Spend", entity=CARD, source=PAYS, features={"total": PAYS.amount.sum(timedelta(hours=1))}
)
BOTH = [{"card_id": "a", "total": 1.0}, {"card_id": "b", "total": 2.0}]


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    from skewless.clock import to_micros

    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply(SPEND)
        rows = [{"card_id": c, "amount": x, "at": NOON} for c, x in (("a", 1.0), ("b", 2.0))]
        store.push(PAYS, rows)
        yield store


def frames() -> dict[str, Any]:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    import pyarrow as pa

    columns = {"card_id": ["a", "b"]}
    return {
        "dicts": [{"card_id": "a"}, {"card_id": "b"}],
        "columns": columns,
        "arrays": {"card_id": np.array(["a", "b"])},
        "scalars": [{"card_id": np.str_("a")}, {"card_id": np.str_("b")}],
        "pandas": pandas.DataFrame(columns),
        "polars": polars.DataFrame(columns),
        "arrow": pa.table(columns),
        "tuple": ({"card_id": "a"}, {"card_id": "b"}),
        "generator": ({"card_id": card} for card in "ab"),
    }


@pytest.mark.parametrize("kind", list(frames()))
def test_entities_are_taken_in_every_form(fs: sl.FeatureStore, kind: str) -> None:
    assert list(fs.get_online_features(SPEND, frames()[kind])) == BOTH


def test_one_entity_is_a_dict(fs: sl.FeatureStore) -> None:
    assert fs.get_online_features(SPEND, {"card_id": "b"})["total"] == [2.0]


@pytest.mark.parametrize("given", ["a", 5, None, ["a"], {"card_id": ["a"], "x": [1, 2]}])
def test_what_is_no_entity_is_told_in_our_words(fs: sl.FeatureStore, given: Any) -> None:
    with pytest.raises(sl.InputError):
        fs.get_online_features(SPEND, given)


def results(fs: sl.FeatureStore) -> list[Any]:
    spine = [{"card_id": card, "at": NOON + timedelta(seconds=1)} for card in "ab"]
    return [
        fs.get_online_features(SPEND, [{"card_id": "a"}, {"card_id": "b"}]),
        fs.get_historical_features(spine, SPEND, timestamp="at"),
    ]


def test_columns_rows_and_the_first_rows_of_a_result(fs: sl.FeatureStore) -> None:
    for result in results(fs):
        assert result["total"] == [1.0, 2.0]
        assert [row["card_id"] for row in result] == ["a", "b"]
        assert (len(result.head(1)), result.head(1)["card_id"]) == (1, ["a"])
        assert type(result.head(1)) is type(result)
        with pytest.raises(sl.UnknownName, match="Did you mean 'total'"):
            result["totl"]


def test_frames_are_made_of_a_result_as_it_is(fs: sl.FeatureStore) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for result in results(fs):
        assert pandas.DataFrame(result)["total"].tolist() == [1.0, 2.0]
        assert polars.DataFrame(result)["total"].to_list() == [1.0, 2.0]


def test_the_first_rows_of_a_training_set_compare_with_their_other_form(
    fs: sl.FeatureStore,
) -> None:
    (_, training) = results(fs)
    assert training.head(1).differences() == {"total": 0}
