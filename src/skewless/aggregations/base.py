"""What an aggregation is, and the list of all of them.

An aggregation is defined once, in plain Python over the rows that count: `compute`. That is its
meaning and its oracle. The compiled kernels (`skewless.aggregations.kernels`) do the same in
bulk for the common ones, and tests hold them to `compute`, bit for bit.

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
from typing import Any, ClassVar

from skewless.aggregations.windows import Window
from skewless.errors import DefinitionError, UnknownName
from skewless.types import DType

AGGREGATIONS: dict[str, type[Aggregation]] = {}


@dataclass(frozen=True)
class Aggregation(ABC):
    """How the rows of a window become one value.

    Class attributes:
        name: the method users call on a column.
        keeps_nulls: whether rows whose value is null take part.
        takes_rows: whether it may be asked of a source (whole rows) instead of a column.
        empty: the value of no rows; None where the aggregation has no identity.
        raw_only: whether it needs the rows themselves, so no tile can stand for them.
    """

    name: ClassVar[str]
    keeps_nulls: ClassVar[bool] = False
    takes_rows: ClassVar[bool] = False
    raw_only: ClassVar[bool] = False
    empty: ClassVar[Any] = None

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            AGGREGATIONS[cls.name] = cls

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


def aggregation(name: str, **parameters: Any) -> Aggregation:
    """Return the aggregation of that name.

    Raises:
        UnknownName: there is none of the name.
        DefinitionError: a parameter is wrong.
    """
    if name not in AGGREGATIONS:
        raise UnknownName.of("aggregation", name, AGGREGATIONS, where="skewless")
    kind = AGGREGATIONS[name]
    names = {f.name for f in fields(kind)}
    for given in parameters:
        if given not in names:
            raise UnknownName.of("parameter", given, names, where=f"aggregation {name!r}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()})


def aggregation_from_dict(data: dict[str, Any]) -> Aggregation:
    """Return the aggregation that `Aggregation.to_dict` wrote."""
    parameters = dict(data)
    return aggregation(parameters.pop("aggregation"), **parameters)
