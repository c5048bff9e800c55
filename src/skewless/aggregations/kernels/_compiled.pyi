"""The C extension; absent where no compiler was at hand."""

from typing import Any

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int64]
_Array = npt.NDArray[Any] | None
_Sweep = tuple[_Ints | None, ...]

def sweep_sums(
    spans: _Sweep,
    values: _Array,
    valid: _Array,
    want: int,
    count: _Array,
    sum: _Array,
    overflow: _Array,
    mean: _Array,
    var: _Array,
    var_sample: _Array,
    /,
) -> None: ...
def sweep_order(
    spans: _Sweep, keys: _Array, valid: _Array, want: int, lowest: _Ints, highest: _Ints, /
) -> None: ...
def sweep_unique(
    spans: _Sweep, codes: _Ints, valid: _Array, n_codes: int, out: _Ints, /
) -> None: ...
def sweep_codes(
    spans: _Sweep, codes: _Ints, valid: _Array, n_codes: int, offsets: _Ints, out: _Ints, /
) -> None: ...
def gather_active(spans: _Sweep, valid: _Array, offsets: _Ints, out: _Ints, /) -> None: ...
def rule_spans(
    rows: tuple[_Ints | None, ...],
    parameter: int,
    span_row: _Ints,
    enter: _Ints,
    exit: _Ints,
    span_start: _Ints,
    /,
) -> int: ...
def latest_add(
    spine: tuple[_Ints, _Ints, _Ints],
    batch: tuple[_Ints, _Ints, _Ints, _Ints, _Ints | None],
    at: tuple[int, int, int],
    tie: _Ints,
    /,
) -> tuple[int, int]: ...
def latest_finish(spine: tuple[_Ints, _Ints, _Ints], origin: _Ints, row: _Ints, /) -> None: ...
def group_rows(codes: _Ints, times: _Ints, order: _Ints, start: _Ints, /) -> None: ...
def window_summary(
    values: Any, valid: Any, low: int, high: int, want: int, /
) -> tuple[Any, ...]: ...
def sweep_moments(
    spans: _Sweep,
    values: _Array,
    events: _Array,
    valid: _Array,
    second: _Array,
    third: _Array,
    fourth: _Array,
    slope: _Array,
    done: npt.NDArray[np.uint8],
    /,
) -> None: ...
def window_moments(values: _Array, events: _Array, /) -> Any: ...
def sweep_quantile(
    spans: _Sweep,
    keys: _Ints,
    valid: _Array,
    q: float,
    below: _Ints,
    above: _Ints,
    counts: _Ints,
    /,
) -> None: ...
def decayed_means(
    events: _Ints,
    values: npt.NDArray[np.float64],
    low: _Ints,
    high: _Ints,
    times: _Ints,
    half_life: int,
    out: npt.NDArray[np.float64],
    /,
) -> None: ...
def sweep_frequent(spans: _Sweep, keys: _Ints, valid: _Array, k: int, out: _Ints, /) -> None: ...
def sweep_distinct(
    spans: _Sweep, keys: _Ints, valid: _Array, nth: int, row: _Ints, counts: _Ints, /
) -> None: ...
def hashes(offsets: _Ints, data: npt.NDArray[np.uint8], seed: int, out: _Ints, /) -> None: ...
