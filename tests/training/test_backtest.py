"""What leakage costs a model: measured on a later holdout."""

import json
import math
import sys

import numpy as np
import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.errors import InputError, MissingColumn, MissingDependency
from skewless.plan.selection import select
from skewless.training.naive_join import newest_values
from tests.leakage.loans import START, loans_of, recent_of, rows_of, spine_of, table_of, view_of
from tests.monitoring.shop import store

pytest.importorskip("sklearn")
ROWS = rows_of(1_600)
CLOCK = SettableClock(to_micros(START) + 30 * 86_400_000_000)


@pytest.fixture(scope="module")
def fs(tmp_path_factory):
    loans = loans_of(table_of(ROWS))
    views = view_of(loans), recent_of(loans)
    with store(tmp_path_factory.mktemp("loans"), *views, clock=CLOCK) as opened:
        yield opened


def tree(**options):
    """A model that is quick to train, and the same every time."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=4, random_state=0, **options)


@pytest.fixture(scope="module")
def report(fs):
    return fs.backtest(spine_of(ROWS), "Recent", timestamp="at", label="defaulted", model=tree())


def test_the_holdout_is_the_later_quarter(report):
    assert (report.trained, report.evaluated) == (1_200, 400)
    assert report.cut == to_micros(ROWS[1_200]["at"])


def test_features_by_event_time_promise_what_serving_cannot_keep(report):
    leaky = report.score("event_time")
    assert leaky.promised["AUC"] == 1.0
    assert leaky.served["AUC"] < 0.9
    assert leaky.gap["AUC"] == leaky.promised["AUC"] - leaky.served["AUC"]
    assert leaky.gap["log loss"] == leaky.served["log loss"] - leaky.promised["log loss"]
    assert leaky.unlike > 0.2


def test_features_as_known_keep_what_they_promise(report):
    honest = report.score("known")
    assert honest.promised == honest.served
    assert set(honest.gap.values()) == {0.0}
    assert honest.unlike == 0.0
    assert honest.served["AUC"] > report.score("event_time").served["AUC"]


def test_naive_features_are_the_newest_values_of_each_entity(fs):
    spine = spine_of(ROWS)
    selection = select(fs.runtime.state(), ["Client:debt_now", "Client:losses"])
    found = newest_values(fs.runtime, selection, spine, "at")
    newest = {row["client"]: row for row in ROWS}
    assert found["debt_now"].to_pylist() == [newest[row["client"]]["debt"] for row in ROWS]
    last = newest["c7"]
    losses = sum(
        row["lost"] for row in ROWS
        if row["client"] == "c7" and (last["at"] - row["at"]).total_seconds() < 2 * 86_400
    )  # fmt: skip
    place = [row["client"] for row in ROWS].index("c7")
    assert found["losses"][place].as_py() == losses


def test_a_given_model_is_trained_as_it_is(fs):
    from sklearn.dummy import DummyClassifier

    report = fs.backtest(
        spine_of(ROWS), ["Client:losses"], timestamp="at", label="defaulted",
        model=DummyClassifier(strategy="prior"), holdout=0.5,
    )  # fmt: skip
    assert report.model == "DummyClassifier"
    assert report.trained == 800
    assert {score.promised["AUC"] for score in report.scores} == {0.5}


def test_a_number_to_predict_makes_a_regression(fs):
    from sklearn.tree import DecisionTreeRegressor

    spine = spine_of(ROWS).append_column("debt", pa.array([row["debt"] for row in ROWS]))
    model = DecisionTreeRegressor(max_depth=4, random_state=0)
    options = {"timestamp": "at", "label": "debt", "model": model}
    report = fs.backtest(spine, ["Client:debt_week"], **options)
    assert list(report.score("known").served) == ["RMSE", "R2"]
    leaky = report.score("event_time")
    assert leaky.gap["RMSE"] == leaky.served["RMSE"] - leaky.promised["RMSE"]
    assert fs.backtest(spine, ["Client:debt_week"], **options) == report


def test_three_classes_are_judged_by_accuracy(fs):
    words = ["low" if row["debt"] < -1 else "high" if row["debt"] > 1 else "some" for row in ROWS]
    spine = spine_of(ROWS).append_column("level", pa.array(words))
    report = fs.backtest(spine, ["Client:debt_now"], timestamp="at", label="level", model=tree())
    assert list(report.score("known").served) == ["accuracy", "log loss"]
    assert report.score("event_time").promised["accuracy"] > 0.95


def test_text_times_and_request_fields_can_be_learned_from(tmp_path):
    rows = [
        {"client": f"c{n % 4}", "word": "bad" if n % 4 < 2 else "good", "tags": ["x"],
         "since": START, "at": ROWS[n]["at"]}
        for n in range(200)
    ]  # fmt: skip
    notes = sl.Source(
        "notes",
        schema={"client": str, "word": str, "tags": list[str], "since": sl.types.Timestamp},
        event_time="at",
    )
    view = sl.FeatureView(
        "Notes",
        entity=sl.Entity("client", client=str),
        source=notes,
        features={x: notes[x].latest() for x in ("word", "tags", "since")}
        | {"n": notes.count("7d")},
    )
    asked = sl.Request("asked", float)
    ratio = sl.on_demand(type("Ratio", (), {"ratio": asked / view.n}))
    spine = pa.Table.from_pylist(
        [{"client": r["client"], "at": r["at"], "y": r["word"] == "bad", "asked": 1.0}
         for r in rows[20:]]
    )  # fmt: skip
    with store(tmp_path, view, ratio, clock=CLOCK) as fs:
        fs.push("notes", rows, backdate=True)
        report = fs.backtest(spine, ["Notes:word", "Notes:tags", "Notes:since", "Ratio:ratio"],
                             timestamp="at", label="y", model=tree())  # fmt: skip
    assert report.score("known").served["AUC"] == 1.0
    assert report.notes == ("Left out, being no numbers or text: tags.",)
    assert report.features == 3


def test_rows_without_a_label_are_left_out_and_said_to_be(fs):
    spine = spine_of(ROWS[:400])
    labels = [None if n < 40 else flag for n, flag in enumerate(spine["defaulted"].to_pylist())]
    spine = spine.set_column(2, "defaulted", pa.array(labels))
    report = fs.backtest(spine, ["Client:losses"], timestamp="at", label="defaulted", model=tree())
    assert report.trained + report.evaluated == 360
    assert report.notes == ("40 rows without a label were left out.",)


def test_rows_of_one_moment_stay_on_one_side(fs):
    spine = spine_of(ROWS[:400])
    clumped = pa.array([START if n < 390 else ROWS[n]["at"] for n in range(400)],
                       pa.timestamp("us", "UTC"))  # fmt: skip
    spine = spine.set_column(1, "at", clumped)
    report = fs.backtest(spine, ["Client:losses"], timestamp="at", label="defaulted", seed=3)
    assert (report.trained, report.evaluated) == (390, 10)
    assert report.model == "HistGradientBoostingClassifier"


def test_what_cannot_be_learned_from_gets_an_error_that_helps(fs):
    spine = spine_of(ROWS[:100])
    moment = spine.set_column(1, "at", pa.array([START] * 100, pa.timestamp("us", "UTC")))
    one = spine.set_column(2, "defaulted", pa.array([True] * 100))
    with pytest.raises(MissingColumn, match="'late'"):
        fs.backtest(spine, "Client", timestamp="at", label="late")
    with pytest.raises(InputError, match="one moment"):
        fs.backtest(moment, "Client", timestamp="at", label="defaulted")
    with pytest.raises(InputError, match="one value"):
        fs.backtest(one, "Client", timestamp="at", label="defaulted")
    with pytest.raises(InputError, match="holdout"):
        fs.backtest(spine, "Client", timestamp="at", label="defaulted", holdout=1.5)


def test_without_scikit_learn_the_error_names_the_extra(fs, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependency, match="skewless\\[demo\\]") as problem:
        fs.backtest(spine_of(ROWS[:100]), "Client", timestamp="at", label="defaulted")
    assert "pip install 'skewless[demo]'" in str(problem.value)


def test_a_report_is_plain_data_and_a_table(report):
    told = report.to_dict()
    assert json.loads(json.dumps(told)) == told
    page = str(report)
    assert "DecisionTreeClassifier predicts 'defaulted' from 2 features" in page
    gaps = [line.split()[4] for line in page.splitlines() if line.startswith("  event_time")]
    assert math.isclose(float(gaps[0]), report.score("event_time").gap["AUC"], abs_tol=1e-4)
    assert np.isfinite([score.unlike for score in report.scores]).all()
