"""What can be learned from: labels, models, and columns as numbers."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skewless.errors import InputError
from skewless.training.models import Learner, Task, encoded

ensemble = pytest.importorskip("sklearn.ensemble")
linear_model = pytest.importorskip("sklearn.linear_model")
svm = pytest.importorskip("sklearn.svm")

EARLIER = np.array([True, True, True, False, False, False])


def task(values: Any, model: Any = None, earlier: Any = EARLIER) -> Task:
    return Task.of(values if isinstance(values, pa.Array) else pa.array(values), earlier, model)


def test_two_values_make_two_classes_and_more_numbers_a_regression() -> None:
    assert task([0, 1, 1, 0, 1, 0]).classes == 2
    assert task([False, True, True, False, True, False]).classes == 2
    found = task([0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.classes == 0
    assert found.target.tolist() == [0.5, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_the_model_decides_what_a_number_is() -> None:
    counts = [1, 2, 3, 1, 2, 3]
    assert task(counts, linear_model.LogisticRegression()).classes == 3
    assert task([0, 1, 0, 1, 0, 1], linear_model.LinearRegression()).classes == 0


def test_texts_and_dictionaries_are_classes_in_their_order() -> None:
    texts = pa.array(["b", "a", "b", "a", "c", "b"])
    for label in (texts, texts.dictionary_encode()):
        found = task(label)
        assert found.target.tolist() == [1.0, 0.0, 1.0, 0.0, -1.0, 1.0]
        assert found.test.tolist() == [False, False, False, True, False, True]
        assert found.notes == ["1 rows of classes never trained on were left out."]


@pytest.mark.parametrize(
    ("label", "model", "message"),
    [
        (["a", "b", "a", "b", "a", "b"], linear_model.LinearRegression(), "no number"),
        (["a", "a", "a", "b", "a", "b"], None, "one value before the holdout"),
        (["a", "b", "a", "c", "d", "c"], None, "without a class that was trained on"),
    ],
)
def test_a_label_that_teaches_nothing_is_refused(label: Any, model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(label, model)


def test_a_classifier_must_give_probabilities() -> None:
    found = task([0, 1, 1, 0, 1, 0])
    with pytest.raises(InputError, match="no probabilities") as caught:
        Learner.of(svm.LinearSVC(), found, 0)
    assert "LinearSVC" in str(caught.value)


def test_without_a_model_it_is_gradient_boosting_of_the_right_kind() -> None:
    assert Learner.of(None, task([0, 1, 1, 0, 1, 0]), 0).name == "HistGradientBoostingClassifier"
    assert Learner.of(None, task([0.5, 1, 2, 3, 4, 5]), 0).name == "HistGradientBoostingRegressor"


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(["a"]), "text"),
        (pa.array(["a"], pa.large_string()), "text"),
        (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), "vector"),
        (pa.array([["a", "b"]], pa.list_(pa.string(), 2)), None),
        (pa.array([datetime(2026, 1, 1, tzinfo=UTC)]), "number"),
        (pa.array([date(2026, 1, 1)]), "number"),
        (pa.array([Decimal("1.5")]), "number"),
        (pa.array([True]), "number"),
        (pa.array([[1]]), None),
        (pa.array([b"a"]), None),
    ],
    ids=str,
)
def test_how_a_column_becomes_numbers(column: pa.Array, kind: str | None) -> None:
    assert encoded(column) == kind


def test_every_kind_of_column_is_learned_from() -> None:
    """One column alone tells the classes apart; each kind in turn is that column."""
    rows, half = 40, 20
    marks = [n % 2 for n in range(rows)]
    day = [date(2026, 1, 1 + 9 * mark) for mark in marks]
    columns = {
        "bool": pa.array([bool(mark) for mark in marks]),
        "date": pa.array(day),
        "time": pa.array([datetime(2026, 1, d.day, tzinfo=UTC) for d in day]),
        "decimal": pa.array([Decimal(mark) / 4 for mark in marks], pa.decimal128(9, 2)),
        "text": pa.array([None if n == 1 else "ab"[mark] for n, mark in enumerate(marks)]),
        "vector": pa.array(
            [None if n == 1 else [0.0, float(mark)] for n, mark in enumerate(marks)],
            pa.list_(pa.float32(), 2),
        ),
    }
    found = task(marks, earlier=np.arange(rows) < half)
    model = ensemble.RandomForestClassifier(10, random_state=0)
    for name, column in columns.items():
        # The second column is one of which nothing can be learned.
        own = {name: column, "bytes": pa.array([b""] * rows)}
        strange = {name: pa.nulls(rows, column.type), "bytes": pa.array([b""] * rows)}
        mine, theirs = Learner.of(model, found, 0).scores(own, strange, found)
        assert mine["AUC"] == 1.0, name
        assert theirs["AUC"] == 0.5, name
    with pytest.raises(InputError, match="no feature a model can learn from"):
        Learner.of(model, found, 0).scores({"bytes": own["bytes"]}, {"bytes": own["bytes"]}, found)


def test_scores_say_what_cannot_be_said() -> None:
    """Of one class, or of one row."""
    marks = [0, 1, 0, 1, 1, 1]
    found = task(marks)
    column = {"x": pa.array([float(mark) for mark in marks])}
    mine, _ = Learner.of(linear_model.LogisticRegression(), found, 0).scores(column, column, found)
    assert np.isnan(mine["AUC"])
    one = task([0.0, 1.0, 2.0, 3.0], earlier=np.array([True, True, True, False]))
    column = {"x": pa.array([0.0, 1.0, 2.0, 3.0])}
    mine, _ = Learner.of(linear_model.LinearRegression(), one, 0).scores(column, column, one)
    assert mine["RMSE"] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(mine["R2"])
