"""Derived sources that are behind the rows they are made of: brought up to date, step by step.

One that is defined over rows that are there already takes them in here, in the order of their log,
as if they were being pushed: each step is a push without rows of its own. A kill between two steps
loses nothing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skewless.definitions import Source
from skewless.ingest.push import ingest
from skewless.online.dedup import ValidRows
from skewless.online.derive import base_of, lag_of
from skewless.online.runtime import Runtime


def catch_up(runtime: Runtime, source: Source) -> None:
    """Make all rows of a derived source that the log it is made of has rows for.

    Where that is the log of a derived source too, its rows first.

    Raises:
        DefinitionError: its function cannot be found, or the text has changed.
    """
    _, base = base_of(runtime, source)
    if base.derivation is not None:
        catch_up(runtime, base)
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in base.columns.items()])
    none = np.zeros(0, np.int64)
    nothing = ValidRows(pa.RecordBatch.from_pylist([], schema=schema), none, none, [])
    while lag_of(runtime, source):
        ingest(runtime, base, nothing)
