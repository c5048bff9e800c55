"""How large the states in the online store are, by a sample of each table.

for size in stored_sizes(runtime):
    print(size)
"""

from __future__ import annotations

import numpy as np

from skewless.explain.store_view import StoreView
from skewless.state.header import read_header
from skewless.state.sizes import Spread, StateSize

SAMPLE = 1000


def stored_sizes(runtime: StoreView, sample: int = SAMPLE) -> list[StateSize]:
    """Return the sizes of the states that serve, of the first so many entities of each table.

    Raises:
        StoreUnavailable: the online store cannot be reached.
    """
    serving: dict[str, list[str]] = {}
    layouts = {}
    for (name, version), by in runtime.tables().serving().items():
        layout = by.layout
        serving.setdefault(layout.table, []).append(f"{name}@v{version}")
        layouts[layout.table] = layout
    found = []
    for table, views in sorted(serving.items()):
        states = [state for _, state in runtime.online.scan(table, limit=sample)]
        if not states:
            continue
        sizes = np.array([len(state) for state in states], np.int64)
        rows = np.array([read_header(state).rows for state in states], np.int64)
        layout = layouts[table]
        found.append(
            StateSize(
                layout.source.name, layout.entity.name, tuple(views), len(states),
                Spread.of(sizes), Spread.of(rows),
            )
        )  # fmt: skip
    return found
