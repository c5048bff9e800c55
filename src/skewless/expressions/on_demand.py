"""Carrying out on-demand features: over lists of values online, over Arrow columns offline.

Both give the same numbers: expressions are held to it by tests, and a function sees NumPy columns
in both, as long as it works element by element.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.definitions import Expression, OnDemandView
from skewless.errors import FunctionNotFound, InputError, said_by
from skewless.expressions.evaluate import compile_scalar, evaluate, leaf_key
from skewless.types import DType, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class NeededOnDemand:
    """An on-demand view that has to be computed."""

    view: OnDemandView
    version: int

    def reference(self, feature: str) -> str:
        """Return the full reference of a feature, version included."""
        return f"{self.view.name}@v{self.version}:{feature}"


def compute_rows(
    needed: Sequence[NeededOnDemand], columns: dict[str, list[Any]], length: int
) -> None:
    """Add on-demand features to ``columns`` of Python values.

    Args:
        needed: the views to compute, each after those it needs.
        columns: values by feature reference and request field; results are added.
        length: how many rows there are.
    """
    for need in needed:
        view = need.view
        if view.code:
            inputs = {
                name: as_numpy(columns[leaf_key(leaf)], leaf.dtype)
                for name, leaf in view.inputs.items()
            }
            for feature, values in _call(view, inputs, length).items():
                columns[need.reference(feature)] = values
            continue
        for feature, expression in view.expressions.items():
            compute = compile_scalar(expression)
            keys = [leaf_key(leaf) for leaf in _inputs(expression)]
            columns[need.reference(feature)] = [
                compute({key: columns[key][row] for key in keys}) for row in range(length)
            ]


def compute_columns(
    needed: Sequence[NeededOnDemand], columns: dict[str, pa.Array], length: int
) -> None:
    """Add on-demand features to Arrow ``columns``; as `compute_rows`."""
    import pyarrow as pa

    for need in needed:
        view = need.view
        if view.code:
            inputs = {
                name: as_numpy(columns[leaf_key(leaf)].to_pylist(), leaf.dtype)
                for name, leaf in view.inputs.items()
            }
            for feature, values in _call(view, inputs, length).items():
                dtype = view.dtypes[feature].arrow()
                columns[need.reference(feature)] = pa.array(values, type=dtype)
            continue
        for feature, expression in view.expressions.items():
            columns[need.reference(feature)] = evaluate(expression, columns, length)


def _inputs(expression: Expression) -> list[Expression]:
    from skewless.definitions.expressions import Literal

    return [leaf for leaf in expression.leaves() if not isinstance(leaf, Literal)]


def as_numpy(values: Sequence[Any], dtype: DType) -> np.ndarray:
    """Return a column as functions see it.

    Numbers become float64 with NaN for null, all else objects with None.
    """
    import numpy as np

    if dtype.is_numeric and dtype.kind != "decimal":
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _call(view: OnDemandView, inputs: Mapping[str, Any], length: int) -> dict[str, list[Any]]:
    """Return the columns a user's function gives, checked and in canonical form."""
    where = f"on-demand view {view.name!r}"
    if view.function is None:
        raise FunctionNotFound(
            f"the function of {where} was not found",
            got=view.code.get("path"),
            hint="Start from the repo's folder, or apply the definitions again.",
        )
    given = _given(view, inputs, length)
    try:
        return _columns(view, given, length)
    except InputError:
        raise
    except Exception as problem:  # what an object of the user's does when it is looked at
        raise InputError(
            f"{where} gave what cannot be read",
            got=f"{type(given).__name__}: {said_by(problem)}",
            expected=f"a column for {', '.join(map(repr, view.features))}",
            where=f"function {view.code.get('path')}",
        ) from problem


def _columns(view: OnDemandView, given: Any, length: int) -> dict[str, list[Any]]:
    where = f"on-demand view {view.name!r}"
    if not isinstance(given, Mapping):
        if len(view.dtypes) != 1:
            raise InputError(
                f"{where} gave one column", expected=f"a mapping of {', '.join(view.features)}"
            )
        given = {view.features[0]: given}
    if set(given) != set(view.features):
        names = sorted(map(str, given))
        raise InputError(f"{where} gave other columns", got=names, expected=view.features)
    return {
        feature: _column(where, feature, given[feature], dtype, length)
        for feature, dtype in view.dtypes.items()
    }


def _given(view: OnDemandView, inputs: Mapping[str, Any], length: int) -> Any:
    """Return what a user's function gives; what it raises is told as an error of ours."""
    function: Any = view.function
    try:
        return function(**inputs)
    except FunctionNotFound:
        raise
    except Exception as problem:
        raise _failed(view, inputs, length, problem) from problem


def _failed(
    view: OnDemandView, inputs: Mapping[str, Any], length: int, problem: Exception
) -> InputError:
    """Return the error for what a user's function raised, with the row, found by halving."""
    start, stop = 0, length
    while stop - start > 1 and not isinstance(problem, MemoryError):  # not to ask for it again
        middle = (start + stop) // 2
        for low, high in ((start, middle), (middle, stop)):
            if _raises(view, {name: column[low:high] for name, column in inputs.items()}):
                start, stop = low, high
                break
        else:
            break  # it is the rows together
    rows = f"row {start}" if stop - start == 1 else f"rows {start} to {stop - 1} together"
    features = ", ".join(map(repr, view.features))
    return InputError(
        f"the function of on-demand view {view.name!r} failed",
        got=said_by(problem),
        expected=f"a column for {features}",
        where=f"{rows} (from 0) of {length:,}, function {view.code.get('path')}",
    )


def _raises(view: OnDemandView, inputs: Mapping[str, Any]) -> bool:
    function: Any = view.function
    try:
        function(**inputs)
    except Exception:  # noqa: BLE001 - whatever users raise
        return True
    return False


def _column(where: str, feature: str, values: Any, dtype: DType, length: int) -> list[Any]:
    # Of NumPy and pandas, of Arrow, of Polars.
    ways = (getattr(values, name, None) for name in ("tolist", "to_pylist", "to_list"))
    listed: Any = next((way() for way in ways if way is not None), values)
    if isinstance(listed, (str, bytes, bytearray)) or not isinstance(listed, Sequence):
        # Of one row, a text of one letter would fit.
        raise InputError(
            f"{where} gave no column {feature!r}",
            got=f"{shown(values)} ({type(values).__name__})",
            expected="a list or an array, as long as its arguments",
        )
    if len(listed) != length:
        raise InputError(
            f"{where} gave a column {feature!r} of another length", got=len(listed), expected=length
        )
    try:
        return [dtype.coerce(whole(value, dtype)) for value in listed]
    except ValueError as problem:
        raise InputError(f"{where} gave a wrong {feature!r}: {problem}") from None


def whole(value: Any, dtype: DType) -> Any:
    """Return whole floats as integers where an integer is declared: NumPy computes in floats."""
    if dtype.is_integer and isinstance(value, float):
        if math.isnan(value):
            return None
        if value.is_integer():
            return int(value)
    return value
