"""Aggregations, windows and the kernels that compute them. No I/O, no clock."""

from skewless.aggregations import (
    approximate,
    counting,
    moments,
    ordering,
    pairs,
    ranking,
    sequences,
    time_weighted,
    vectors,
)
from skewless.aggregations.base import (
    AGGREGATIONS,
    Aggregation,
    aggregation,
    aggregation_from_dict,
)

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "aggregation",
    "aggregation_from_dict",
    "approximate",
    "counting",
    "moments",
    "ordering",
    "pairs",
    "ranking",
    "sequences",
    "time_weighted",
    "vectors",
]
