"""Rows of very many columns: what is looked up for a push does not follow their number squared."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

import skewless as sl
from skewless.definitions import Source
from skewless.stores.offline.retyped import seen_as


@pytest.mark.parametrize("as_arrow", [False, True])
def test_columns_of_a_source_are_listed_as_often_for_many_as_for_few(
    tmp_path, monkeypatch, as_arrow
):
    listed = Source.columns.fget
    counts = []

    def counted(source):
        counts[-1] += 1
        return listed(source)

    for width in (3, 100):
        names = [f"c{number}" for number in range(width)]
        source = sl.Source("s", schema={"e": int, **dict.fromkeys(names, float)}, event_time="at")
        features = {name: source[name].latest() for name in names}
        view = sl.FeatureView("V", entity=sl.Entity("e", e=int), source=source, features=features)
        row = {"e": 1, "at": datetime.now(UTC), **dict.fromkeys(names, 0.5)}
        folder = tmp_path / str(width)
        folder.mkdir()
        with sl.FeatureStore(folder) as fs:
            fs.apply(fs.plan(view))
            fs.push("s", [row])
            counts.append(0)
            monkeypatch.setattr(Source, "columns", property(counted))
            fs.push("s", pa.Table.from_pylist([row]) if as_arrow else [row])
            monkeypatch.setattr(Source, "columns", property(listed))
            assert fs.get_online_features("V", [{"e": 1}]).values == [[0.5] * width]
    assert counts[0] == counts[1]


def test_rows_that_a_source_wrote_are_seen_as_they_are():
    source = sl.Source("s", schema={"e": int, "x": float}, event_time="at")
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])
    rows = pa.RecordBatch.from_pylist([], schema)
    assert seen_as(source, rows, ["x"]) is rows
