"""Fields that a source does not have: one rule for rows of dicts, frames and files."""

import json
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import from_micros, to_micros
from skewless.testing.clock import SettableClock

NOON = to_micros("2026-01-31T12:00:00Z")
ROWS = [
    {"k": "a", "v": 1.0, "at": from_micros(NOON)},
    {"k": "b", "v": 2.0, "at": from_micros(NOON)},
]
ROWS[1]["coupon"] = "X"


def opened(folder: Path, extra: str) -> sl.FeatureStore:
    source = sl.Source(
        "s", schema={"k": str, "v": float}, event_time="at", extra=extra, stream=sl.Files("live/")
    )
    view = sl.FeatureView(
        "V", entity=sl.Entity("e", k=str), source=source, features={"n": source.v.sum("1h")}
    )
    (folder / "live").mkdir(exist_ok=True)
    store = sl.FeatureStore(folder, clock=SettableClock(NOON))
    store.apply(view)
    return store


def in_form(kind: str) -> Any:
    import pyarrow as pa

    if kind == "dicts":
        return ROWS
    table = pa.Table.from_pylist([ROWS[0] | {"coupon": None}, ROWS[1]])
    return table if kind == "arrow" else table.to_pandas()


def streamed(store: sl.FeatureStore, folder: Path) -> Any:
    from skewless.ingest.stream.worker import StreamWorker

    lines = [json.dumps(row | {"at": "2026-01-31T12:00:00Z"}) for row in ROWS]
    (folder / "live" / "rows.json").write_text("".join(f"{line}\n" for line in lines))
    return StreamWorker(store.runtime, "s").run(once=True)


@pytest.mark.parametrize("kind", ["dicts", "arrow", "pandas"])
def test_a_field_too_many_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    with opened(tmp_path, "ignore") as store:
        result = store.push("s", in_form(kind))
        assert (result.accepted, result.ignored, result.quarantined) == (2, ("coupon",), ())


@pytest.mark.parametrize("kind", ["dicts", "arrow", "pandas"])
def test_a_row_with_a_field_too_many_is_set_aside_alone(tmp_path: Path, kind: str) -> None:
    with opened(tmp_path, "quarantine") as store:
        result = store.push("s", in_form(kind))
        assert (result.accepted, [each.row for each in result.quarantined]) == (1, [1])
        assert "coupon is no column" in result.quarantined[0].reason


@pytest.mark.parametrize("kind", ["dicts", "arrow", "pandas"])
def test_a_push_with_a_field_too_many_is_refused_whole(tmp_path: Path, kind: str) -> None:
    with opened(tmp_path, "error") as store:
        with pytest.raises(sl.InputError, match="coupon"):
            store.push("s", in_form(kind))
        assert store.quarantine("s") == []


@pytest.mark.parametrize("extra", ["ignore", "quarantine", "error"])
def test_a_stream_takes_the_columns_it_knows_of_and_goes_on(tmp_path: Path, extra: str) -> None:
    with opened(tmp_path, extra) as store:
        counted = streamed(store, tmp_path)
        assert (counted.rows, counted.ignored) == (2, 1)
        found = store.get_online_features("V", [{"k": "a"}, {"k": "b"}]).to_statuses()["n"]
        assert found == ["present", "present"]


def test_another_rule_makes_no_version_and_a_word_that_is_none_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, "ignore").close()
    with opened(tmp_path, "quarantine") as store:
        assert store.runtime.state().current == {"V": 1}
        assert store.sources["s"].extra_fields == "quarantine"
        assert store.push("s", ROWS).accepted == 1
    with pytest.raises(sl.DefinitionError, match="'ignore' or 'quarantine' or 'error'"):
        opened(tmp_path, "allow")
