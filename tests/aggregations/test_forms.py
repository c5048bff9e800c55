"""What is said of the forms in which aggregations run is so."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.aggregations import AGGREGATIONS
from skewless.aggregations.forms import COSTS, column_for, forms_of, table
from skewless.aggregations.windows import LastN, Sliding
from skewless.definitions import FeatureView
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import select
from skewless.plan.table_read import TableRead
from skewless.state.layout import StateLayout
from skewless.types import Float64
from tests.engines.test_local_engine import state_of
from tests.laws.grid import HISTORIES, KEY, aggregates, source, view_of
from tests.laws.test_every_path import from_all_rows, from_history

DOCS = Path(__file__).parents[2] / "docs" / "definitions.md"


def test_the_table_in_the_docs_is_that_of_the_registry():
    text = DOCS.read_text(encoding="utf-8")
    kept = text.partition("test -->\n")[2].partition("\n<!-- /forms")[0]
    assert kept == table(), "put skewless.aggregations.forms.table() into docs/definitions.md"


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_a_form_that_is_said_to_run_is_there(name):
    for aggregate in aggregates(name):
        kind, forms = aggregate.aggregation, aggregate.forms
        column = None if aggregate.column is None else aggregate.column.dtype
        assert {forms.training, forms.online} <= set(COSTS)
        assert (forms.training in ("sweep", "shared sweep")) <= kind.sweeps(column)
        assert (forms.online == "shared numbers") == kind.counts_in(column)
        assert (forms.online == "arrays") <= kind.summarises
        layout = StateLayout.of(KEY, source(), [view_of([aggregate], source())])
        assert ("tiles" in forms.keeps) == layout.tiled


def test_what_runs_in_python_is_known_by_name():
    """A new aggregation, or a form that was lost, shows here."""
    python = {
        name for name, kind in ((n, k.examples()[0]) for n, k in AGGREGATIONS.items())
        if "python" in str(forms_of(kind, column_for(kind), Sliding(width=1)))
    }  # fmt: skip
    # Of conditions and pairs, which no array holds online.
    assert python == {"streak", "time_in", "beta", "corr", "cov"}


def test_plans_say_in_which_forms_they_compute():
    of = sl.Source("pays", schema={"card": str, "x": float}, event_time="at")
    features = {"a": of.x.mean("1h"), "b": of.x.first_n(2, "1h"), "c": of.x.sum("1h")}
    view = FeatureView("V", entity=sl.Entity("card", card=str), source=of, features=features)
    plan = plan_retrieval(select(state_of(view), [view]), timestamp="t", as_of="known")
    assert "2 by shared sweep, 1 by sweep" in plan.explain()
    layout = StateLayout.of(view.entity, of, [view])
    part = TableRead(layout, [(view, 1, feature) for feature in view.features])
    assert part.how == "rows of windows: 2 by shared numbers, 1 by few rows"


def test_the_newest_row_is_all_that_is_kept_for_it():
    assert forms_of(AGGREGATIONS["latest"](), Float64, LastN(1)).keeps == "the newest row"


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_no_row_is_taken_to_python_where_another_form_is_said_to_run(name, monkeypatch):
    """Calls are counted, not time: an aggregation cannot fall back to its definition unseen."""
    of, rows = source(), HISTORIES["right"]
    shown = column_for(AGGREGATIONS[name].examples()[0])
    found = [
        each for each in aggregates(name, of)
        if each.by is None
        and (each.column is None or repr(each.column) == "rows.x" or each.column.dtype == shown != Float64)
    ]  # fmt: skip
    view = view_of(found, of)
    kinds = {type(each.aggregation) for each in found}
    calls = []
    for kind in kinds:
        compute = kind.compute
        monkeypatch.setattr(
            kind, "compute", lambda self, v, *rest, _was=compute: calls.append(len(v)) or _was(self, v, *rest)
        )  # fmt: skip
    training, online = (
        {getattr(each.forms, way) for each in found} for way in ("training", "online")
    )
    from_history(view, rows, 40)
    assert bool(calls) == ("python" in training or "few rows" in training)
    assert max(calls, default=0) <= 3 or "python" in training
    calls.clear()
    from_all_rows(view, rows, 40)
    needs = [each.aggregation.needs for each in found]
    few = max((each.stop or -each.start for each in needs if each is not None), default=1)
    assert max(calls, default=0) <= few or "python" in online
