"""What on-demand functions return: columns, and nothing that is taken for one."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import InputError
from skewless.testing.clock import SettableClock
from tests.doors.odd import Color, Liar

NOW = 1_800_000_000_000_000
TYPES: dict[str, Any] = {"number": int, "text": str, "raw": bytes, "any": sl.Json}
NO_COLUMNS = [
    None, True, 1, 1.5, "a", b"x", bytearray(b"x"), {1}, frozenset({"a"}), {"a": 1}, {1: 1, "a": 2},
    np.float64(1.5), np.array(1.0), np.datetime64("2026-01-02"), pd.NA, pd.NaT, iter([1]),
    range(0), object(), Liar(), Color.RED, pa.scalar(1), np.array([[1], [2]]), [1, 2],
]  # fmt: skip
COLUMNS: list[Callable[[int], Any]] = [
    lambda many: [1] * many,
    lambda many: (1,) * many,
    lambda many: np.ones(many),
    lambda many: pd.Series([1] * many),
    lambda many: pa.array([1] * many),
    lambda many: pa.chunked_array([[1] * many]),
    lambda many: pl.Series([1] * many),
    lambda many: {"number": np.ones(many)},
]
returned: list[Any] = [None]


def of_number(asked: Any) -> Any:
    given = returned[0]
    return given(len(asked)) if callable(given) else given


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    folder = tmp_path_factory.mktemp("functions")
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as store:
        inputs = {"asked": sl.Request("asked", float)}
        for name, dtype in TYPES.items():
            make = sl.on_demand(inputs=inputs, returns={name: dtype})
            of_number.__name__ = f"Of{name}"
            store.apply(make(of_number))
        yield store


def ways(fs: sl.FeatureStore, name: str) -> Iterator[Callable[[], Any]]:
    row = {"asked": 1.0}
    yield lambda: fs.get_online_features(f"Of{name}", [row]).to_dict()[name]
    yield lambda: fs.get_historical_features(
        [row | {"t": from_micros(NOW)}], f"Of{name}", timestamp="t"
    ).to_dict()[name]


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("value", NO_COLUMNS, ids=lambda value: repr(value)[:40])
def test_what_is_no_column_is_refused_by_name(fs: sl.FeatureStore, name: str, value: Any) -> None:
    returned[0] = value
    for way in ways(fs, name):
        with pytest.raises(InputError, match=f"on-demand view 'Of{name}'"):
            way()


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_every_library_are_taken(
    fs: sl.FeatureStore, column: Callable[[int], Any]
) -> None:
    returned[0] = column
    assert [way() for way in ways(fs, "number")] == [[1], [1]]
