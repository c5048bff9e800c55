"""The columns of a training set from the features of its views: on-demand features come last."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.expressions.on_demand import compute_columns
from skewless.expressions.scalar import NOW
from skewless.plan.selection import Selection


def outputs_of(
    selection: Selection,
    features: Mapping[str, pa.Array],
    spine: pa.Table,
    times: npt.NDArray[np.int64],
) -> dict[str, pa.Array]:
    """Return the columns that are asked for, by name.

    Args:
        selection: what is asked for.
        features: of its feature views, by full reference.
        spine: has the request fields, of their types.
        times: the moment of each spine row, UTC microseconds.
    """
    columns = dict(features)
    for request in selection.requests:
        columns[request.name] = spine[request.name].combine_chunks()
    if selection.asks_now:
        columns[NOW] = pa.array(times, pa.timestamp("us", "UTC"))
    compute_columns(selection.on_demand, columns, len(times))
    return {output.name: columns[output.reference] for output in selection.outputs}
