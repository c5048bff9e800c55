"""Aggregations that are plugged in: what they raise or give is a value of its type, or refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

import skewless as sl
from skewless.aggregations import AGGREGATIONS, Aggregation
from skewless.clock import from_micros
from skewless.engines.reference import HistoryRow, feature_value
from skewless.errors import InputError
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from skewless.types import DType, Float64
from tests.serving.calling import call

NOW = 1_800_000_000_000_000
WINDOWS: dict[str, Any] = {"hour": "1h", "ever": sl.lifetime(), "newest": None}
ENTITY = {"k": 1}
given: list[Any] = [1.0]


def give(*_: Any) -> Any:
    if isinstance(given[0], Exception):
        raise given[0]
    return given[0]() if callable(given[0]) else given[0]


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    @dataclass(frozen=True)
    class Odd(Aggregation):
        name: ClassVar[str] = "odd"

        def result_type(self, column: DType | None) -> DType:
            return Float64

        def compute(self, values: Any, events: Any, t: int, window: Any) -> Any:
            return give()

    class OddArray(Odd):
        name: ClassVar[str] = "odd_array"

        def summary(self, values: Any, events: Any, t: int, window: Any) -> Any:
            return give()

    class OddNumber(Odd):
        name: ClassVar[str] = "odd_number"
        number: ClassVar[Any] = "sum"

        def finish(self, number: Any, window: Any) -> Any:
            return give()

    class OddCode(Odd):
        name: ClassVar[str] = "odd_code"
        number: ClassVar[Any] = "sum"

        def encode(self, values: Any) -> Any:
            return give()

    with sl.FeatureStore(
        tmp_path_factory.mktemp("aggregations"), clock=SettableClock(NOW)
    ) as store:
        source = sl.Source("s", schema={"k": int, "n": float, "w": str}, event_time="at")
        for name in NAMES:
            over = getattr(source.n, name)
            features = {
                "hour": over("1h"), "ever": over(sl.lifetime()), "newest": over(last=1),
                "grouped": over("1h", by=source.w),
            }  # fmt: skip
            entity = sl.Entity("e", k=int)
            store.apply(
                sl.FeatureView(f"Of_{name}", entity=entity, source=source, features=features)
            )
        rows = [{"k": 1, "n": n, "w": "w", "at": from_micros(NOW - int(n))} for n in (1.0, 2.0)]
        store.push("s", rows, backdate=True)
        yield store
    for name in NAMES:
        AGGREGATIONS.pop(name)


NAMES = ("odd", "odd_array", "odd_number", "odd_code")
FEATURES = ("hour", "ever", "newest", "grouped")


def ways(fs: sl.FeatureStore, name: str) -> Iterator[Callable[[], Any]]:
    """A feature online, in a training set, explained, and of the oracle."""
    of, feature = name.split(":")
    yield lambda: fs.get_online_features([name], [ENTITY])[feature][0]
    spine = [ENTITY | {"t": from_micros(NOW)}]
    yield lambda: fs.get_historical_features(spine, [name], timestamp="t")[feature][0]
    if of in ("Of_odd", "Of_odd_array"):
        yield lambda: fs.explain(name, ENTITY).value


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    ["much", b"x", [1.0], {"a": 1.0}, 1j, object, np.array([1.0, 2.0, 3.0]), True, pa.scalar("a"),
     RuntimeError("bad"), MemoryError("bad"), sl.DefinitionError("bad"), ZeroDivisionError("bad"),
     StopIteration("bad")],
    ids=lambda value: f"{type(value).__name__}-{value}"[:30],
)  # fmt: skip
def test_what_is_no_value_of_the_type_is_refused_by_name(
    fs: sl.FeatureStore, name: str, feature: str, value: Any
) -> None:
    given[0] = value
    for way in ways(fs, f"Of_{name}:{feature}"):
        with pytest.raises(InputError, match=f"aggregation '{name}' failed") as told:
            way()
        assert None not in (told.value.got, told.value.where, told.value.hint)
        assert isinstance(told.value.__cause__, Exception)


@pytest.mark.parametrize(
    ("value", "taken"),
    [(1, 1.0), (np.float32(0.5), 0.5), (np.int64(3), 3.0), (None, None), (float("nan"), None),
     (Decimal("0.5"), 0.5)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["odd", "odd_array"])
@pytest.mark.parametrize("feature", FEATURES)
def test_a_value_of_the_type_is_the_same_on_every_path(
    fs: sl.FeatureStore, name: str, feature: str, value: Any, taken: Any
) -> None:
    given[0] = value
    expected = {"w": taken} if feature == "grouped" else taken
    for way in ways(fs, f"Of_{name}:{feature}"):
        assert (found := way()) == expected
        assert type(found) is type(expected)


def test_the_oracle_and_http_name_the_aggregation_too(fs: sl.FeatureStore) -> None:
    given[0] = "much"
    view = fs.runtime.state().view("Of_odd")
    row = HistoryRow({"k": 1, "n": 1.0, "w": "w", "at": from_micros(NOW)}, NOW, NOW, 1)
    with pytest.raises(InputError, match="aggregation 'odd' failed"):
        feature_value(view, "hour", [row], NOW, None)
    app = App(fs, Settings())
    app.start()
    answer = call(app, "POST", "/v1/features", {"features": ["Of_odd:hour"], "entities": [ENTITY]})
    assert answer.status == 422
    assert "aggregation 'odd' failed" in str(answer.data)


@pytest.mark.parametrize("odd", ["short", "text"])
def test_an_encoding_that_the_kernels_cannot_take_is_refused(fs: sl.FeatureStore, odd: str) -> None:
    given[0] = lambda: np.zeros(1) if odd == "short" else np.array(["a", "b"])
    with pytest.raises(InputError, match=r"aggregation 'odd_code' failed.*of shape"):
        fs.get_online_features(["Of_odd_code:hour"], [ENTITY])
    with pytest.raises(InputError, match=r"aggregation 'odd_code' failed.*of shape"):
        fs.get_historical_features(
            [ENTITY | {"t": from_micros(NOW)}], ["Of_odd_code:hour"], timestamp="t"
        ).to_dict()
