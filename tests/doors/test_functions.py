"""What on-demand functions return: columns, and nothing that is taken for one."""

import re
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
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.doors.odd import Color, Liar
from tests.serving.calling import call

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
    if isinstance(given, Exception) and 13.0 in asked:
        raise given
    if isinstance(given, Exception):
        return [1] * len(asked)
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
@pytest.mark.parametrize(
    "value", NO_COLUMNS, ids=lambda value: re.sub(" at 0x.*", "", repr(value))[:40]
)
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


@pytest.mark.parametrize(
    "problem",
    [RuntimeError("odd"), KeyError("odd"), OverflowError("odd"), ImportError("odd"),
     StopIteration("odd"), sl.StoreUnavailable("odd"), sl.UnknownName("odd"),
     sl.DefinitionError("odd"), sl.InputError("odd"), RecursionError("odd")],
    ids=lambda problem: type(problem).__name__,
)  # fmt: skip
def test_what_a_function_raises_names_view_feature_row_and_cause(
    fs: sl.FeatureStore, problem: Exception
) -> None:
    returned[0] = problem
    rows = [{"asked": float(number)} for number in (1, 2, 13, 4, 5)]
    spine = [row | {"t": from_micros(NOW)} for row in rows]
    ways: list[Callable[[], Any]] = [
        lambda: fs.get_online_features("Ofnumber", rows),
        lambda: fs.get_historical_features(spine, "Ofnumber", timestamp="t").to_dict(),
    ]
    for way in ways:
        with pytest.raises(InputError, match="function of on-demand view 'Ofnumber'") as told:
            way()
        assert told.value.__cause__ is problem
        assert "row 2 (from 0) of 5" in str(told.value.where)
        assert "'number'" in str(told.value.expected)
        assert f"{type(problem).__name__}: odd" in str(told.value.got).replace("'", "")


def test_a_function_without_memory_is_not_asked_again_for_the_row(fs: sl.FeatureStore) -> None:
    returned[0] = MemoryError("odd")
    rows = [{"asked": 13.0}, {"asked": 1.0}]
    with pytest.raises(InputError, match=r"MemoryError: odd.*rows 0 to 1 together"):
        fs.get_online_features("Ofnumber", rows)


class Hostile(dict[str, Any]):
    """Fails however it is looked at."""

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("hostile")

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("hostile")


class HostileColumn:
    def tolist(self) -> Any:
        raise RuntimeError("hostile")


class HostileValue:
    def __float__(self) -> float:
        raise RuntimeError("hostile")

    __index__ = __str__ = __iter__ = __bytes__ = __float__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [Hostile(), HostileColumn(), [HostileValue()], {"number": HostileColumn()}],
    ids=["whole", "column", "value", "number"],
)
def test_objects_that_fail_when_they_are_looked_at_are_refused(
    fs: sl.FeatureStore, value: Any
) -> None:
    returned[0] = value
    for way in ways(fs, "number"):
        with pytest.raises(InputError, match="on-demand view 'Ofnumber' gave"):
            way()


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("hostile")


def test_an_exception_that_cannot_be_printed_is_named(fs: sl.FeatureStore) -> None:
    returned[0] = Unsayable()
    with pytest.raises(InputError, match="Got: Unsayable"):
        fs.get_online_features("Ofnumber", [{"asked": 13.0}])


def test_rows_that_fail_only_together_are_named_together(fs: sl.FeatureStore) -> None:
    def Together(asked: Any) -> Any:
        if len(asked) > 1:
            raise RuntimeError("too many")
        return [1] * len(asked)

    inputs = {"asked": sl.Request("asked", float)}
    fs.apply(sl.on_demand(inputs=inputs, returns={"number": int})(Together))
    with pytest.raises(InputError, match="rows 0 to 1 together"):
        fs.get_online_features("Together", [{"asked": 1.0}, {"asked": 2.0}])


def test_explain_and_http_name_the_function_too(fs: sl.FeatureStore) -> None:
    returned[0] = RuntimeError("odd")
    with pytest.raises(InputError, match="function of on-demand view 'Ofnumber'"):
        fs.explain("Ofnumber:number", {"asked": 13.0})
    app = App(fs, Settings())
    app.start()
    asked = {"features": ["Ofnumber:number"], "entities": [{"asked": 13.0}]}
    answer = call(app, "POST", "/v1/features", asked)
    assert answer.status == 422
    assert "function of on-demand view 'Ofnumber'" in str(answer.data)


@pytest.fixture(scope="module")
def dies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    dies = sl.Source("dies", schema={"wafer": str, "vdd": float}, event_time="at", future="365d")

    @sl.derived(source=dies, by="wafer", rows=1, returns={"mean": float})
    def wafers(rows: Any) -> Any:
        if isinstance(returned[0], Exception):
            raise returned[0]
        return returned[0]

    with sl.FeatureStore(tmp_path_factory.mktemp("dies"), clock=SettableClock(NOW)) as store:
        store.apply([dies, wafers])
        yield store


def die(fs: sl.FeatureStore, wafer: str) -> None:
    fs.push("dies", [{"wafer": wafer, "vdd": 1.0, "at": from_micros(NOW)}])


@pytest.mark.parametrize(
    "problem",
    [RuntimeError("odd"), MemoryError("odd"), ImportError("odd"), sl.StoreUnavailable("odd"), Unsayable()],
    ids=lambda problem: type(problem).__name__,
)  # fmt: skip
def test_a_derived_function_that_fails_not_for_its_rows_names_its_source(
    dies: sl.FeatureStore, problem: Exception
) -> None:
    returned[0] = problem
    with pytest.raises(sl.DefinitionError, match="derived source 'wafers'") as told:
        die(dies, "a")
    assert told.value.__cause__ is problem
    assert None not in (told.value.where, told.value.hint)


@pytest.mark.parametrize(
    "value",
    [1, [1], {}, {"mean": "much"}, {"mean": [1.0]}, {1: 1}, {"mean": 1.0, "more": 1}, {"mean": 1j},
     ValueError("odd"), sl.DefinitionError("odd"), sl.UnknownName("odd"), KeyError("odd")],
    ids=str,
)  # fmt: skip
def test_a_group_of_which_a_function_makes_no_row_is_quarantined(
    dies: sl.FeatureStore, value: Any
) -> None:
    returned[0] = value
    dies.purge_quarantine("wafers")
    die(dies, "b")
    assert len(dies.quarantine("wafers")) == 1
