"""Tasks that travel: without places and secrets, with the functions of definitions."""

import pickle
import shutil
import sys

import deltalake
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import skewless as sl
from skewless.config import TableSettings
from skewless.engines.partitioned import parts_of
from skewless.engines.row_form import RowForm
from skewless.engines.shares import LogShare, RowsShare, TableShare, shares_of
from skewless.engines.shipping import packed, unpacked
from skewless.engines.tasks import Finish, ReadRows, Retrieve, SpineForm
from skewless.errors import ConfigError, InputError, StoreError
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import select
from skewless.plugins import table_reader
from skewless.stores.offline.history import History
from skewless.stores.offline.tables.frame import FrameReader
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.testing.engine_cases import CARD, case_of, source_of, view_of
from tests.engines.test_local_engine import state_of

AT = pa.array([5, 6, 7], pa.timestamp("us", "UTC"))
SECRETS = {"sasl.password": "hush-hush"}


def plan_of(*views):
    selection = select(state_of(*views), list(views))
    return plan_retrieval(selection, timestamp="t", as_of="known")


def named_source(**options):
    """A source whose table and stream are places with names that can be looked for."""
    return sl.Source(
        "rows",
        schema={"card_id": str, "x": float},
        event_time="at",
        table=sl.Parquet("/secret-folder/rows"),
        stream=sl.Kafka("topic", "broker.internal:9092", options=SECRETS),
        **options,
    )


def test_a_task_holds_neither_places_nor_secrets():
    source = named_source()
    view = sl.FeatureView(
        "View", entity=CARD, source=source, features={"total": source.x.sum("1h")}
    )
    ((_, plan),) = parts_of(plan_of(view))
    form = RowForm(source, ("card_id", "x"))
    spine = SpineForm((), ())
    tasks = [
        ReadRows(form, ("card_id",), 0, 9),
        Retrieve(plan, form, spine, 1),
        Finish(plan, spine),
    ]
    for data in map(packed, tasks):
        for hidden in (b"secret-folder", b"broker.internal", b"hush-hush"):
            assert hidden not in data
        assert unpacked(data).schema == pickle.loads(data).schema


def test_a_function_that_only_this_process_has_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    from skewless.engines.shipping import _pickler

    _pickler.cache_clear()
    try:
        with pytest.raises(InputError, match="Install cloudpickle"):
            packed(lambda: None)
    finally:
        _pickler.cache_clear()


def test_the_shares_of_a_history_are_all_its_rows(tmp_path):
    source = source_of(tmp_path, row_id="id")
    history = case_of(source, tmp_path, 1, settled=True).history
    columns = list(source.columns)
    shares = [pickle.loads(packed(share)) for share in shares_of(history, columns)]
    assert {type(share) for share in shares} == {TableShare, LogShare, RowsShare}
    found = [chunk.table for share in shares for chunk in share.chunks(columns, None, None)]
    expected = [chunk.table for chunk in history.versions(columns)]
    assert sorted(map(repr, rows(found))) == sorted(map(repr, rows(expected)))


def rows(tables):
    return [row for table in tables for row in table.to_pylist()]


def test_a_frame_travels_itself(tmp_path):
    frame = sl.Frame({"card_id": ["c1"], "x": [1.0], "at": ["2026-01-01T00:00:00Z"]})
    source = sl.Source("rows", schema={"card_id": str, "x": float}, event_time="at", table=frame)
    (share,) = shares_of(History(source, FrameReader(frame)), ["card_id", "x"])
    (chunk,) = pickle.loads(packed(share)).chunks([], None, None)
    assert chunk.table.to_pylist() == [{"card_id": "c1", "x": 1.0}]


def test_a_worker_that_does_not_see_the_log_says_so(tmp_path):
    source = source_of(tmp_path)
    history = case_of(source, tmp_path, 1, settled=True).history
    shares = list(shares_of(history, ["x"]))
    (share,) = [share for share in shares if isinstance(share, LogShare)]
    shutil.rmtree(share.log.folder)
    with pytest.raises(StoreError, match="Every worker must see the folder"):
        list(share.chunks(["x"], None, None))


def test_a_secret_in_the_settings_of_a_table_does_not_travel(tmp_path):
    source = source_of(tmp_path)
    case_of(source, tmp_path, 1)
    told = TableSettings(filesystem={"s3": {"secret_key": "hush-hush"}})
    with pytest.raises(ConfigError, match="set that variable for the workers") as refused:
        list(shares_of(History(source, ParquetReader(source.table, tmp_path, told)), ["x"]))
    assert "hush-hush" not in str(refused.value)
    variable = TableSettings(filesystem={"s3": {"secret_key": "${S3_SECRET}"}})
    reader = ParquetReader(source.table, tmp_path, variable)
    assert len(list(shares_of(History(source, reader), ["x"]))) == 1


def test_an_engine_is_chosen_by_settings_or_for_one_call(tmp_path):
    (tmp_path / "skewless.toml").write_text('[engine]\nkind = "local"\nmemory = 0\n')
    source = source_of(tmp_path)
    case_of(source, tmp_path, 1)
    view = view_of("View", CARD, source, 1, count=2)
    spine = [{"card_id": "c1", "t": "2026-01-01T00:00:00Z"}]
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan([source, view]), build=False)
        plain = fs.get_historical_features(spine, [view], timestamp="t")
        named = fs.get_historical_features(spine, [view], timestamp="t", engine="local")
        assert plain.to_dict() == named.to_dict()
        with pytest.raises(sl.UnknownName, match="Engines: local"):
            fs.get_historical_features(spine, [view], timestamp="t", engine="locl")


def test_an_option_that_the_engine_does_not_take_is_told(tmp_path):
    (tmp_path / "skewless.toml").write_text('[engine]\nkind = "local"\nmemroy = 0\n')
    with sl.FeatureStore(tmp_path) as fs, pytest.raises(ConfigError, match="memroy"):
        fs.runtime.engines.get()


@pytest.mark.parametrize("kind", ["csv", "delta"])
def test_tables_of_files_are_read_where_the_share_is_opened(tmp_path, kind):
    rows_here = pa.table({"card_id": ["c1", "c2", None], "x": [1.0, None, 2.5], "at": AT})
    if kind == "delta":
        deltalake.write_deltalake(str(tmp_path / "rows"), rows_here.slice(0, 2))
        table = sl.Delta("rows")
    else:
        pacsv.write_csv(rows_here, tmp_path / "rows.csv")
        table = sl.CSV("rows.csv")
    source = sl.Source("rows", schema={"card_id": str, "x": float}, event_time="at", table=table)
    columns = list(source.columns)
    history = History(source, table_reader(table, tmp_path))
    shares = [pickle.loads(packed(share)) for share in shares_of(history, columns)]
    expected = [chunk.table for chunk in history.versions(columns)]
    if kind == "delta":  # what is added afterwards is not of the version that was looked at
        deltalake.write_deltalake(str(tmp_path / "rows"), rows_here.slice(2), mode="append")
    found = [chunk.table for share in shares for chunk in share.chunks(columns, None, None)]
    assert {type(share) for share in shares} == {TableShare}
    assert rows(found) == rows(expected)
    assert len(rows(found)) == (2 if kind == "delta" else 3)
