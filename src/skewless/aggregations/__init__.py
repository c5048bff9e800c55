"""Aggregations, windows and the kernels that compute them. No I/O, no clock."""

from skewless.aggregations import counting, moments, ordering, ranking
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
    "counting",
    "moments",
    "ordering",
    "ranking",
]
