"""Are the vectors that were served the rows of the training set? Compared bit by bit.

proof = compare(day, training)
proof.same == proof.values
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from skewless.demo.live import Day
from skewless.plan.results import TrainingSet


@dataclass(frozen=True)
class Parity:
    """How served vectors compare with training values.

    Attributes:
        vectors: how many were compared.
        values: how many values they hold.
        same: how many of these are the same to the last bit.
        differences: flight, feature, served and training value of those that are not.
    """

    vectors: int
    values: int
    same: int
    differences: tuple[tuple[str, str, Any, Any], ...]


def compare(day: Day, training: TrainingSet) -> Parity:
    """Compare what was served on a day with the training rows of the same flights."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = training.to_arrow()
    asked = pa.array([flight["flight_id"] for flight in day.flights], pa.string())
    rows = table.take(pc.index_in(asked, value_set=table["flight_id"]))
    trained = rows.select(list(training.features)).to_pylist()
    values, differences = 0, []
    for flight, mine, other in zip(day.flights, day.served, trained, strict=True):
        values += len(mine)
        for name, value in mine.items():
            if bits(value) != bits(other[name]):
                differences.append((flight["flight_id"], name, value, other[name]))
    same = values - len(differences)
    return Parity(len(day.served), values, same, tuple(differences))


def bits(value: Any) -> Any:
    """Return what two equal values share: the type, and of a float its bytes."""
    return (type(value), struct.pack("<d", value) if isinstance(value, float) else value)
