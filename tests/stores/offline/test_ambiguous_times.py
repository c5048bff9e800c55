"""Local times that a zone has twice or not at all: refused, or what the definition says is meant."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl

TWICE, NEVER, PLAIN = (
    datetime(2026, 10, 25, 2, 30),
    datetime(2026, 3, 29, 2, 30),
    datetime(2026, 7, 1, 2),
)
LATER = datetime(2026, 11, 20, tzinfo=UTC)


def moments(folder: Path, kind: str, ambiguous: str | None) -> list[datetime | None]:
    """The event times of three rows as they are read."""
    times = [TWICE, NEVER, PLAIN]
    if kind == "parquet":
        pq.write_table(
            pa.table({"k": ["a", "b", "c"], "at": pa.array(times)}), folder / "x.parquet"
        )
        table: sl.Parquet | sl.CSV = sl.Parquet(
            "x.parquet", timezone="Europe/Berlin", ambiguous=ambiguous
        )
    else:
        lines = [f"{k},{at.isoformat()}" for k, at in zip("abc", times, strict=True)]
        (folder / "x.csv").write_text("\n".join(["k,at", *lines]) + "\n")
        table = sl.CSV("x.csv", timezone="Europe/Berlin", ambiguous=ambiguous)
    source = sl.Source("s", schema={"k": str}, event_time="at", table=table)
    features = {"hour": source["at"].hour().latest(), "day": source["at"].day().latest()}
    view = sl.FeatureView("V", entity=sl.Entity("e", k=str), source=source, features=features)
    with sl.FeatureStore(folder) as store:
        store.apply(view, build=False)
        spine = [{"k": k, "t": LATER} for k in "abc"]
        found = store.get_historical_features(spine, view, timestamp="t", as_of="event_time")
        return list(zip(found["day"], found["hour"], strict=True))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("ambiguous", "expected"),
    [
        ("earliest", [(25, 0), (29, 0)]),  # 2:30 in summer time is 0:30 UTC; before the clock is put forward
        ("latest", [(25, 1), (29, 1)]),
        ("null", [(None, None), (None, None)]),
    ],
)  # fmt: skip
def test_the_moment_that_is_meant(
    tmp_path: Path, kind: str, ambiguous: str, expected: list[tuple[int | None, int | None]]
) -> None:
    assert moments(tmp_path, kind, ambiguous) == [*expected, (1, 0)]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("ambiguous", [None, "raise"])
def test_refused_with_the_way_to_say_it(tmp_path: Path, kind: str, ambiguous: str | None) -> None:
    with pytest.raises(sl.InputError, match="ambiguous='earliest'"):
        moments(tmp_path, kind, ambiguous)


def test_a_word_that_is_none_and_one_without_a_zone_are_refused() -> None:
    with pytest.raises(sl.DefinitionError, match="'earliest' or 'latest' or 'null' or 'raise'"):
        sl.Parquet("x", timezone="Europe/Berlin", ambiguous="first")
    with pytest.raises(sl.DefinitionError, match="goes with timezone="):
        sl.Parquet("x", ambiguous="earliest")
