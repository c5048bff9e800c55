"""What an aggregation is, and the list of all of them.

An aggregation is defined once, in plain Python over the rows that count: `compute`. That is its
meaning and its oracle. All faster forms are optional and stand beside it in the same class: one of
the kernels' numbers (`number`), which engines, states and tiles then share; a sweep of its own over
all moments of a spine (`sweep`); arrays of the rows of one window (`summary`); the few rows that
matter (`needs`, `decide`). What is missing falls back to `compute`. The laws in
``tests/laws`` hold every form of every aggregation to `compute`, bit for bit.

>>> from skewless.types import Float64
>>> aggregation("mean").compute([1.0, 2.0, 6.0], [0, 1, 2], 3, None)
3.0
>>> aggregation("mean").result_type(Float64)
Float64
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from skewless.aggregations.plugged_in import guard
from skewless.aggregations.windows import Sliding, Window
from skewless.errors import DefinitionError, UnknownName
from skewless.plugins import find
from skewless.types import NUMERIC, DType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.aggregations.sweep import ColumnSweep

    Ints = npt.NDArray[np.int64]
    Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]

Number = Literal["count", "sum", "mean", "var", "var_sample", "min", "max"]
NUMBERS: tuple[Number, ...] = ("count", "sum", "mean", "var", "var_sample", "min", "max")
"""What the kernels and exact sums give, in the order of `kernels.window_summary`."""
Tile = Literal["sums", "rows"]

AGGREGATIONS: dict[str, type[Aggregation]] = {}
_EXTREMES = ("min", "max")
_NUMERIC = frozenset({"float32", "float64", "int32", "int64"})
PLAIN = NUMERIC | {"bool", "str", "bytes", "timestamp", "date", "json"}
"""Kinds of columns whose values are equal or not."""
_RANKED = _NUMERIC | {"bool", "str", "bytes", "timestamp", "date"}


@dataclass(frozen=True)
class Aggregation(ABC):
    """How the rows of a window become one value.

    Class attributes:
        name: the method users call on a column.
        keeps_nulls: whether rows whose value is null take part.
        takes_rows: whether it may be asked of a source (whole rows) instead of a column.
        empty: the value of no rows; None where the aggregation has no identity.
        raw_only: whether it needs the rows themselves, so no tile can stand for them.
        of_set: whether only the set of the values matters, not how often or when they come.
        moves: whether the same rows weigh something else at each moment, so that a sweep goes over
            the rows of each anew.
        number: the number of the kernels from which `finish` makes the value; None for none.
        plugged_in: whether it is not of this package, see `aggregations.plugged_in`.
    """

    name: ClassVar[str]
    keeps_nulls: ClassVar[bool] = False
    takes_rows: ClassVar[bool] = False
    raw_only: ClassVar[bool] = False
    of_set: ClassVar[bool] = False
    moves: ClassVar[bool] = False
    empty: ClassVar[Any] = None
    number: ClassVar[Number | None] = None
    plugged_in: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.plugged_in = cls.__module__.partition(".")[0] != "skewless"
        if cls.plugged_in:
            guard(cls)
        if "name" in cls.__dict__:
            AGGREGATIONS[cls.name] = cls

    @classmethod
    def examples(cls) -> tuple[Aggregation, ...]:
        """Return one of every form that parameters give it: the laws hold of them."""
        return (cls(),)

    # -------------------------------------------------------------------------------- meaning

    @abstractmethod
    def result_type(self, column: DType | None) -> DType:
        """Return the type of the value for a column of this type (None: whole rows).

        Raises:
            DefinitionError: the aggregation is not defined on such a column.
        """

    @abstractmethod
    def compute(
        self, values: Sequence[Any], events: Sequence[int], t: int, window: Window | None
    ) -> Any:
        """Return the value of at least one row.

        Args:
            values: of the rows that count, nulls left out (unless `keeps_nulls`), in row order.
            events: their event times, microseconds.
            t: the moment asked about, microseconds.
            window: the window they were taken from.
        """

    # ------------------------------------------------------- faster forms, each of them optional

    def encode(self, values: Numbers) -> Numbers:
        """Return what the number is taken of, for an array of a column's values."""
        return values

    def finish(self, number: Any, window: Window | None) -> Any:
        """Return the value from the number of at least one row, or values from an array of them.

        A number of NaN is null and never comes here; None, or NaN in an array, is null.
        """
        return number

    def summary(self, values: Numbers | None, events: Ints, t: int, window: Window | None) -> Any:
        """Return what `compute` does, from arrays; `NotImplemented` where these cannot give it.

        Args:
            values: float64 or int64, of vectors a row of float32 each; None for whole rows and
                other columns. A null that takes part is NaN; whole numbers with one are None.
            events: as for `compute`, as are the others.
        """
        return NotImplemented

    @property
    def needs(self) -> slice | None:
        """Which of the rows that count `compute` needs to see; None for all."""
        return None

    def sweep(self, rows: ColumnSweep) -> pa.Array:
        """Return the values at all moments of a spine; asked for where `sweeps` says so."""
        if self.number is None:
            raise NotImplementedError(f"{self.name} has no sweep")
        finish = (lambda numbers: self.finish(numbers, rows.window)) if self.finishes else None
        return rows.numbers(self.number, self if self.encodes else None, finish)

    def sweeps(self, column: DType | None) -> bool:
        """Return whether `sweep` serves a column of this type (None: whole rows)."""
        return self.counts_in(column)

    def tile(self, column: DType | None) -> Tile | None:
        """Return what stands for dropped rows: exact ``sums``, or the ``rows`` that decide."""
        if self.number is None or self.number in _EXTREMES or self.encodes:
            return None
        return "sums" if self.counts_in(column) else None

    @classmethod
    def decide(cls, rank: Ints, run: Ints) -> Ints:
        """Return the places of the rows that decide the value of each run, of ``rows`` tiles.

        Args:
            rank: numbers in the order of the rows' values.
            run: the run of each row, ascending; rows of a run come in row order.
        """
        raise NotImplementedError(f"{cls.name} keeps no rows that decide")

    @property
    def encodes(self) -> bool:
        """Whether the number is taken of something else than the values."""
        return type(self).encode is not Aggregation.encode

    @property
    def finishes(self) -> bool:
        """Whether the value is something else than the number."""
        return type(self).finish is not Aggregation.finish

    @property
    def summarises(self) -> bool:
        """Whether there is a `summary`."""
        return type(self).summary is not Aggregation.summary

    def counts_in(self, column: DType | None) -> bool:
        """Return whether the value is made of the kernels' number of such a column."""
        if self.number is None or self.keeps_nulls:
            return False
        return self.number == "count" or (column is not None and is_number(column))

    # ------------------------------------------------------------------------------ definitions

    def window_of(self, width: str | timedelta, resolution: str | timedelta | None) -> Window:
        """Return the window that a duration stands for."""
        return Sliding.of(width, resolution)

    def check_window(self, window: Window) -> None:
        """Raise `DefinitionError` when the aggregation has no meaning over ``window``."""
        if self.raw_only and window.kind == "resolution":
            raise DefinitionError(
                f"{self.name} has no tiles, so it takes no resolution", got=repr(window)
            )

    def to_dict(self) -> dict[str, Any]:
        """Return name and parameters as plain data; `aggregation_from_dict` reads it back."""
        parameters = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"aggregation": self.name} | {
            k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()
        }

    def _need(self, column: DType | None, kinds: frozenset[str], what: str) -> DType:
        """Return the column type, or raise when it is not among ``kinds``."""
        if column is None or column.kind not in kinds:
            got = "whole rows" if column is None else f"a column of type {column!r}"
            raise DefinitionError(f"{self.name} needs {what}", got=got)
        return column


def is_number(column: DType) -> bool:
    """Return whether arrays of the kernels hold the values of a column exactly."""
    return column.kind in _NUMERIC


def in_arrays(column: DType) -> bool:
    """Return whether `Aggregation.summary` is given the values of a column."""
    return is_number(column) or column.kind == "vector"


class Deciding(Aggregation):
    """An aggregation that a few rows of each tile decide."""

    def tile(self, column: DType | None) -> Tile | None:
        """Return ``rows`` for values that have an order."""
        return "rows" if column is None or column.kind in _RANKED else None


def aggregation(name: str, **parameters: Any) -> Aggregation:
    """Return the aggregation of that name.

    Raises:
        UnknownName: there is none of the name.
        DefinitionError: a parameter is wrong.
    """
    names, kind = parameters_of(name), AGGREGATIONS[name]
    for given in parameters:
        if given not in names:
            raise UnknownName.of("parameter", given, names, where=f"aggregation {name!r}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()})


def is_aggregation(name: str) -> bool:
    """Return whether there is an aggregation of that name, here or in a package that is installed.

    Raises:
        MissingDependency: a library that the package needs is not installed.
    """
    if name not in AGGREGATIONS:
        try:
            find("aggregation", name)  # a class is in `AGGREGATIONS` once it is imported
        except UnknownName:
            return False
    return name in AGGREGATIONS


def parameters_of(name: str) -> set[str]:
    """Return the names of the parameters of an aggregation.

    Raises:
        UnknownName: there is none of the name.
    """
    if not is_aggregation(name):
        raise UnknownName.of("aggregation", name, AGGREGATIONS, where="skewless")
    return {field.name for field in fields(AGGREGATIONS[name])}


def aggregation_from_dict(data: dict[str, Any]) -> Aggregation:
    """Return the aggregation that `Aggregation.to_dict` wrote."""
    parameters = dict(data)
    return aggregation(parameters.pop("aggregation"), **parameters)
