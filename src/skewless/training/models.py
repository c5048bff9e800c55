"""Learning from a training set, for backtests: columns to numbers, a model, its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.errors import InputError, MissingDependency

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_HIGHER_IS_BETTER = frozenset({"AUC", "accuracy", "R2"})


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned, and from which rows.

    Attributes:
        target: number of the class of each row, or its value; -1 for classes never trained on.
        classes: how many classes; 0 for a regression.
        train, test: which rows.
        notes: what was left out.
    """

    target: Floats
    classes: int
    train: Bools
    test: Bools
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, label: pa.Array, earlier: Bools, model: Any) -> Task:
        """Return the task that a label without nulls sets.

        Args:
            label: of each row.
            earlier: which rows are trained on; the others are the holdout.
            model: an estimator decides between classification and regression; None: the label.

        Raises:
            InputError: a label of a type or of too few values to learn from.
        """
        if not _is_classification(label, model):
            if not _is_number(label.type) and not pa.types.is_boolean(label.type):
                raise InputError("a label that is no number", got=str(label.type))
            return cls(numbers_of(label), 0, earlier, ~earlier)
        if pa.types.is_dictionary(label.type):
            label = label.dictionary_decode()
        known = pc.unique(label.filter(pa.array(earlier)))
        if len(known) < 2:
            raise InputError("a label of one value before the holdout", got=known.to_pylist())
        known = known.take(pc.sort_indices(known))
        place = pc.fill_null(pc.index_in(label, value_set=known), -1)
        target = np.asarray(place).astype(np.float64)
        test = ~earlier & (target >= 0)
        strange = int((~earlier).sum() - test.sum())
        notes = [f"{strange:,} rows of classes never trained on were left out."] if strange else []
        if not test.any():
            raise InputError("a holdout without a class that was trained on")
        return cls(target, len(known), earlier, test, notes)

    def worse(self, name: str, promised: float, served: float) -> float:
        """Return by how much a score is worse in serving than promised."""
        return promised - served if name in _HIGHER_IS_BETTER else served - promised


@dataclass(frozen=True, eq=False)
class Learner:
    """A model to be trained again on each kind of features."""

    model: Any
    name: str

    @classmethod
    def of(cls, model: Any, task: Task, seed: int) -> Learner:
        """Return the learner of a given estimator, or of gradient boosting.

        Raises:
            MissingDependency: scikit-learn is not installed.
        """
        try:
            from sklearn import ensemble
        except ImportError:
            raise MissingDependency.of("scikit-learn", "demo", needed_for="a backtest") from None
        if model is None and task.classes:
            model = ensemble.HistGradientBoostingClassifier(random_state=seed)
        elif model is None:
            model = ensemble.HistGradientBoostingRegressor(random_state=seed)
        if task.classes and not hasattr(model, "predict_proba"):
            raise InputError(
                "a classifier that gives no probabilities",
                got=type(model).__name__,
                expected="an estimator with predict_proba",
            )
        return cls(model, type(model).__name__)

    def scores(
        self, own: Mapping[str, pa.Array], served: Mapping[str, pa.Array], task: Task
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Train on the earlier rows of ``own``; return scores on its later rows and on ``served``.

        Text is encoded by the categories of the rows trained on, in both.
        """
        from sklearn.base import clone

        fitted = clone(self.model, safe=False)
        vocabulary = _vocabulary(own, task.train)
        mine, theirs = _matrix(own, vocabulary), _matrix(served, vocabulary)
        fitted.fit(mine[task.train], task.target[task.train])
        return _scores(fitted, mine, task), _scores(fitted, theirs, task)


def _scores(fitted: Any, matrix: Floats, task: Task) -> dict[str, float]:
    from sklearn import metrics

    rows, truth = matrix[task.test], task.target[task.test]
    if not task.classes:
        guess = fitted.predict(rows)
        error = float(np.sqrt(np.mean((guess - truth) ** 2)))
        r2 = float(metrics.r2_score(truth, guess)) if len(truth) > 1 else float("nan")
        return {"RMSE": error, "R2": r2}
    chances = fitted.predict_proba(rows)
    loss = float(metrics.log_loss(truth, chances, labels=np.arange(task.classes)))
    if task.classes > 2:
        right = float(np.mean(chances.argmax(axis=1) == truth))
        return {"accuracy": right, "log loss": loss}
    both = len(np.unique(truth)) == 2
    auc = float(metrics.roc_auc_score(truth, chances[:, 1])) if both else float("nan")
    return {"AUC": auc, "log loss": loss}


def encoded(column: pa.Array) -> str | None:
    """Return how a feature becomes numbers: ``number``, ``text``, ``vector``, or not (None)."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_fixed_size_list(kind) and _is_number(kind.value_type):
        return "vector"
    times = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return "number" if times or _is_number(kind) or pa.types.is_boolean(kind) else None


def _vocabulary(columns: Mapping[str, pa.Array], rows: Bools) -> dict[str, pa.Array]:
    """Return the categories of text columns among some rows, sorted."""
    found = {}
    for name, column in columns.items():
        if encoded(column) == "text":
            known = pc.unique(column.filter(pa.array(rows))).drop_null()
            found[name] = known.take(pc.sort_indices(known))
    return found


def _matrix(columns: Mapping[str, pa.Array], vocabulary: Mapping[str, pa.Array]) -> Floats:
    """Return features as numbers, NaN for null and for categories that were not trained on."""
    parts: list[Floats] = []
    for name, column in columns.items():
        match encoded(column):
            case "text":
                found = pc.index_in(column, value_set=vocabulary[name], skip_nulls=True)
                parts.append(numbers_of(found))
            case "vector":
                size = column.type.list_size
                lists = [[np.nan] * size if v is None else v for v in column.to_pylist()]
                parts += list(np.array(lists, np.float64).reshape(-1, size).T)
            case "number":
                parts.append(numbers_of(column))
    if not parts:
        raise InputError("no feature a model can learn from", got=", ".join(columns))
    return np.column_stack(parts)


def numbers_of(column: pa.Array) -> Floats:
    """Return numbers, flags and times as float64, NaN for null."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    numbers = column.cast(pa.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _is_classification(label: pa.Array, model: Any) -> bool:
    if model is not None:
        try:
            from sklearn.base import is_classifier
        except ImportError:
            return hasattr(model, "predict_proba")
        return bool(is_classifier(model))
    if not _is_number(label.type):
        return True
    return int(pc.count_distinct(label).as_py()) == 2
