"""scikit-learn, and what takes its frames (XGBoost, LightGBM): the same columns when a model is
trained and when it predicts.

    X, y = to_sklearn(training, label="fraud")
    model = make_pipeline(FeatureReader(".", "fraud_model", timestamp="at"), Classifier())
    model.fit(payments, payments["fraud"])   # rows with a time: as known then
    model.predict([{"card_id": "c1"}])       # rows without: as served now

Numbers, flags and decimals become float64 with NaN for what is not there; times stay times, in UTC;
texts stay texts, with None. Vectors become a column for each place: ``embedding_0``, ``_1``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator, TransformerMixin

from skewless.client.client import Client
from skewless.errors import InputError, MissingColumn, StoreUnavailable
from skewless.plan.results import OnlineResult, TrainingSet
from skewless.store import FeatureStore
from skewless.stores.offline.as_table import as_table
from skewless.training.models import encoded, numbers_of

_UNKNOWABLE = frozenset({"building", "masked", "unavailable"})
"""Statuses of values that exist but cannot be told: a model must not take them for missing."""


def to_sklearn(
    training: TrainingSet, label: str, *, columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Return what a model is fitted with: the features, and the label.

    Args:
        training: of `FeatureStore.get_historical_features`.
        label: a column of its spine.
        columns: which columns, in this order; by default the features.

    Raises:
        MissingColumn: the training set has no such column.
        InputError: a label that is null, or a column that is no number, time, text or vector.
    """
    table = training.to_arrow()
    wanted = list(training.features if columns is None else columns)
    for name in (label, *wanted):
        if name not in table.column_names:
            raise MissingColumn.of(name, table.column_names, where="the training set")
    if nulls := table[label].null_count:
        raise InputError(
            f"{nulls:,} rows have no label", got=f"null in {label!r}",
            hint="Leave them out of the spine.",
        )  # fmt: skip
    return frame_of(table, wanted), table[label].to_pandas().rename(label)


class FeatureReader(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Keys in, features out: the first step of a pipeline.

    A row that has a time is read as it was known then, from history; one that has none is read
    online, now. So the pipeline that was fitted on a spine serves with the same features.

    Args:
        store: the folder of a repo, or the address of a server (which has no history:
            for predictions alone).
        features: see `FeatureStore.get_online_features`.
        timestamp: the column that says when a prediction is made.
        keep: columns of the input that go on beside the features.
    """

    def __init__(
        self, store: str, features: Any, *, timestamp: str = "at", keep: Sequence[str] = ()
    ) -> None:
        self.store = store
        self.features = features
        self.timestamp = timestamp
        self.keep = keep

    def fit(self, X: Any, y: Any = None) -> FeatureReader:  # noqa: ARG002
        """Learn the columns.

        Raises:
            MissingColumn: the rows have no time. Read as of now, a model would be trained on what
                happened after its labels.
        """
        table = as_table(X)
        if self.timestamp not in table.column_names:
            raise MissingColumn.of(self.timestamp, table.column_names, where="rows to fit on")
        self.columns_ = list(self.transform(table.slice(0, 1)).columns)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Return the features of each row, in the order of the rows.

        Raises:
            StoreUnavailable: a value is being rebuilt, or its store cannot be reached.
        """
        given = as_table(X)
        with _opened(self.store) as store:
            if self.timestamp in given.column_names:
                found = self._then(store, given)
            else:
                found = self._now(store, given)
        kept = [name for name in self.keep if name not in found.column_names]
        names = [*found.column_names, *kept]
        for name in kept:
            if name not in given.column_names:
                raise MissingColumn.of(name, given.column_names, where="the rows")
            found = found.append_column(name, given[name])
        return frame_of(found, names)

    def get_feature_names_out(self, input_features: Any = None) -> list[str]:  # noqa: ARG002
        """Return the names of the columns that `transform` gives."""
        return list(self.columns_)

    def _then(self, store: Any, given: pa.Table) -> pa.Table:
        if not isinstance(store, FeatureStore):
            raise InputError(
                "a server has no history", got=f"rows with {self.timestamp!r}, and {self.store}",
                expected="the folder of a repo, or rows without a time",
            )  # fmt: skip
        training = store.get_historical_features(given, self.features, timestamp=self.timestamp)
        return training.to_arrow().select(list(training.features))

    def _now(self, store: Any, given: pa.Table) -> pa.Table:
        found: OnlineResult = store.get_online_features(self.features, given.to_pylist())
        for name, statuses in found.to_statuses().items():
            if bad := _UNKNOWABLE & set(statuses):
                many = sum(each in bad for each in statuses)
                raise StoreUnavailable(f"{many:,} values of {name!r} are {' or '.join(bad)}")
        names = list(found.to_statuses())
        return found.to_arrow().select(names)


@contextmanager
def _opened(where: str) -> Iterator[Any]:
    """Open a repo, or connect to a server."""
    address = os.fspath(where)
    with Client(address) if "://" in address else FeatureStore(address) as store:
        yield store


def frame_of(table: pa.Table, names: Iterable[str]) -> pd.DataFrame:
    """Return columns of a table as a model takes them; see above.

    Raises:
        InputError: a column is no number, time, text or vector.
    """
    made: dict[str, Any] = {}
    for name in names:
        column = table[name].combine_chunks()
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            zone = "UTC" if pa.types.is_date(kind) or kind.tz else None
            made[name] = column.cast(pa.timestamp("us", zone)).to_pandas()
            continue
        match encoded(column):
            case "number":
                made[name] = numbers_of(column)
            case "text":
                made[name] = pd.Series(column.to_pylist(), dtype=object)
            case "vector":
                places = range(kind.list_size)
                lists = [v or [None] * kind.list_size for v in column.to_pylist()]
                for place in places:
                    made[f"{name}_{place}"] = numbers_of(
                        pa.array([each[place] for each in lists], kind.value_type)
                    )
            case _:
                raise InputError(
                    "a column that no model can learn from", got=f"{name!r} of type {kind}",
                    hint="Choose columns=, or make numbers of it in an on-demand view.",
                )  # fmt: skip
    return pd.DataFrame(made)
