"""The right answers, found independently of every contender and checked by brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import FEATURES, SPAN, START, Columns, cached, read_columns, write_parquet

Ints = npt.NDArray[np.int64]
NOBODY = -1


def expected_join(features: Path, labels: Path, *, as_known: bool) -> Path:
    """Return a file with the values of the winning row of each label, null where there is none.

    The winner is the newest row by (event time, creation time) whose event time, and with
    ``as_known`` whose creation time too, is not after the label's.
    """

    def write(path: Path) -> None:
        entity, event, created = (
            _ints(features, name) for name in ("entity", "event_at", "created_at")
        )
        label_entity, label_at = (_ints(labels, name) for name in ("entity", "label_at"))
        rows = (entity, event, created)
        winner = winners(rows, (label_entity, label_at), as_known=as_known)
        sample = np.random.default_rng(5).choice(len(label_at), min(40, len(label_at)), False)
        for at in sample.tolist():
            right = brute_force(rows, int(label_entity[at]), int(label_at[at]), as_known=as_known)
            if winner[at] != right:
                raise RuntimeError(f"the oracle is wrong at label {at}: {winner[at]}, not {right}")
        columns: Columns = {"winner": winner}
        for name in FEATURES:
            (values,) = read_columns(features, [name])
            columns[name] = np.where(winner == NOBODY, np.nan, values[winner])
        write_parquet(path, [columns])

    mode = "known" if as_known else "event"
    return cached(f"expected-{mode}-{features.stem}-{labels.stem}.parquet", write)


def winners(rows: tuple[Ints, Ints, Ints], asked: tuple[Ints, Ints], *, as_known: bool) -> Ints:
    """Return for each label the number of the row that counts: sort once, search, walk back."""
    entity, event, created = rows
    shift = int(SPAN + 1).bit_length()
    key = (entity << shift) + (event - START)
    order = np.lexsort((created, key))
    place = np.searchsorted(key[order], (asked[0] << shift) + (asked[1] - START), side="right") - 1
    walking = np.arange(len(place)) if as_known else np.flatnonzero(place < 0)
    while len(walking):
        at = np.maximum(place[walking], 0)
        inside = (place[walking] >= 0) & (entity[order[at]] == asked[0][walking])
        late = inside & (created[order[at]] > asked[1][walking])
        place[walking[~inside]] = NOBODY
        walking = walking[late]
        place[walking] -= 1
    row = order[np.maximum(place, 0)]
    return np.where((place >= 0) & (entity[row] == asked[0]), row, NOBODY)


def brute_force(
    rows: tuple[Ints, Ints, Ints], entity: int, label_at: int, *, as_known: bool
) -> int:
    """Return the number of the row that counts for one label, by looking at every row."""
    counts = (rows[0] == entity) & (rows[1] <= label_at)
    if as_known:
        counts &= rows[2] <= label_at
    found = np.flatnonzero(counts).tolist()
    return max(found, key=lambda row: (rows[1][row], rows[2][row]), default=NOBODY)


def wrong_rows(expected: Path | str, values: dict[str, Any]) -> int:
    """Return how many labels have any feature that differs; null and NaN are the same."""
    wrong: npt.NDArray[np.bool_] | None = None
    for name in FEATURES:
        (right,) = read_columns(expected, [name])
        given = np.asarray(values[name], dtype=np.float64)
        if len(given) != len(right):
            return len(right)
        differs = ~(
            (given == right) | (np.isnan(given.astype(float)) & np.isnan(right.astype(float)))
        )
        wrong = differs if wrong is None else wrong | differs
    return 0 if wrong is None else int(wrong.sum())


def _ints(path: Path, name: str) -> Ints:
    (values,) = read_columns(path, [name])
    return values.astype(np.int64)
