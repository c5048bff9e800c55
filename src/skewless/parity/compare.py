"""Answers to online reads, compared with history bit for bit.

Answers are compared with a training set whose spine they are: the same entities and moments, as
known then, by the local engine over history. Of some, value and status are also compared with the
reference engine. For a difference, the rows responsible are looked for (`parity.diagnose`).

A row becomes known when it is admitted and readable when it is durable, milliseconds later. A read
in between does not have it, and history later says that it was known: such values, right but for
rows that had only just become known (``GRACE``), are counted as in flight, not as differing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from skewless.clock import SECOND, from_micros
from skewless.definitions import Aggregate, FeatureView
from skewless.engines.reference import HistoryRow, feature_value
from skewless.explain.entity_rows import key_of, rows_of_entities
from skewless.explain.store_view import StoreView
from skewless.expressions.on_demand import compute_rows
from skewless.expressions.scalar import NOW
from skewless.formatting import same_bits
from skewless.parity.diagnose import Verdict, counted, judge_value, newest_left_out
from skewless.parity.report import Difference, ParityReport
from skewless.parity.served import Answers
from skewless.plan.retrieval import (
    AsOf,
    history_names,
    plan_retrieval,
    rows_of,
    steps_by_source,
)
from skewless.plan.selection import Output, Selection, select
from skewless.state.status import UNTOLD
from skewless.types import python_values

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.stores.offline.history import History

GRACE = 5 * SECOND
MOST_EXAMINED = 200
_MOST_COMBINED = 64
Found = tuple[int, Output]
"""The place of an answer, and one of its features."""


def compare(
    runtime: StoreView,
    answers: Answers,
    report: ParityReport,
    *,
    checks: int = 0,
    grace: int = GRACE,
) -> None:
    """Compare answers with history and add what was found to a report.

    Args:
        runtime: the open repo.
        answers: for one list of features.
        report: is added to.
        checks: how many answers, evenly chosen, to compare with the reference engine too.
        grace: for how long after it became known a row may still be on its way, microseconds.
    """
    if not len(answers):
        return
    history = recompute(runtime, answers)
    selection = history.selection
    report.reads += len(answers)
    before = report.differing.copy()
    found: list[tuple[Found, Any]] = []
    for place, output in enumerate(selection.outputs):
        computed = history.values[place]
        served = [row[place] for row in answers.values]
        told = [row[place] for row in answers.statuses]
        said = [status not in UNTOLD for status in told]
        wrong = [number for number in differing(served, computed) if said[number]]
        found += [((number, output), computed[number]) for number in wrong]
        report.values[output.reference] += sum(said)
        for status in UNTOLD.intersection(told):
            report.skipped[f"values that are {status}"] += told.count(status)
        if wrong:
            report.differing[output.reference] += len(wrong)
    inquiry = Inquiry(selection, answers, history.of_rows, report, grace)
    inquiry.check(found, checks)
    _count_kinds(selection, report, report.differing - before, len(answers))


@dataclass(frozen=True)
class Recomputed:
    """What history gives for answers.

    Attributes:
        selection: of their features.
        values: a list for each output of the selection, with a value for each answer.
        of_rows: the histories that they are computed of, by what they are the rows of.
    """

    selection: Selection
    values: Sequence[Sequence[Any]]
    of_rows: Mapping[str, History]


def recompute(runtime: StoreView, answers: Answers, *, as_of: AsOf = "known") -> Recomputed:
    """Return what history gives for answers.

    Args:
        runtime: the open repo.
        answers: for one list of features.
        as_of: ``known``: of the rows that were known at the moment of each; ``event_time``: of all
            that are known by now.
    """
    import numpy as np

    from skewless.engines.local import LocalEngine

    selection = select(runtime.state(), list(answers.features), full_names=True)
    plan = plan_retrieval(selection, timestamp="at", as_of=as_of)
    histories = {
        name: runtime.history(steps[0].source) for name, steps in steps_by_source(plan).items()
    }
    of_rows = {rows: histories[name] for rows, name in history_names(plan).items()}
    times = np.array(answers.times, np.int64)
    columns = LocalEngine().retrieve(plan, _spine(selection, answers), times, histories).columns
    values = [python_values(columns[output.name]) for output in selection.outputs]
    return Recomputed(selection, values, of_rows)


def differing(served: Sequence[Any], computed: Sequence[Any]) -> list[int]:
    """Return where two columns differ in a bit.

    >>> differing([1.0, 0.0, None, "a"], [1.0, -0.0, None, "b"])
    [1, 3]
    """
    return [
        number
        for number, (one, other) in enumerate(zip(served, computed, strict=True))
        if one is not other
        and not (type(one) is float and type(other) is float and one == other != 0.0)
        and not same_bits(one, other)
    ]


def _place(view: FeatureView) -> tuple[Any, ...]:
    """Equal for views that count the rows of the same entity for an answer."""
    keys = view.row_entity.key_names, view.asked_entity.key_names
    return rows_of(view.source), *keys, repr(view.constants)


def _spine(selection: Selection, answers: Answers) -> pa.Table:
    """Return join keys and request fields of answers, in canonical types."""
    import pyarrow as pa

    wanted = dict(selection.join_keys) | {r.name: r.dtype for r in selection.requests}
    columns = {
        name: pa.array([dtype.coerce(e[name]) for e in answers.entities], dtype.arrow())
        for name, dtype in wanted.items()
    }
    columns |= selection.constant_columns(len(answers))
    return pa.table(columns or {"_": pa.nulls(len(answers))})


def _count_kinds(
    selection: Selection, report: ParityReport, wrong: Counter[str], answers: int
) -> None:
    """Count values by aggregation and window; a derived feature counts for all it is made of."""
    for need in selection.views:
        for feature in need.features:
            reference = need.reference(feature)
            kinds = {
                kind_of(leaf)
                for leaf in need.view.expressions[feature].leaves()
                if isinstance(leaf, Aggregate)
            }
            for kind in kinds:
                report.kinds[kind] += answers
                report.differing_kinds[kind] += wrong[reference]


def kind_of(aggregate: Aggregate) -> tuple[str, str]:
    """Return aggregation and kind of window, as reports count them."""
    return aggregate.aggregation.name, aggregate.window.kind


class Inquiry:
    """Looks into differences, and compares some answers with the reference engine."""

    def __init__(
        self,
        selection: Selection,
        answers: Answers,
        histories: Mapping[str, History],
        report: ParityReport,
        grace: int,
    ) -> None:
        self.selection = selection
        self.answers = answers
        self.histories = histories
        self.report = report
        self.grace = grace
        self._rows: dict[tuple[str, str], dict[tuple[Any, ...], list[HistoryRow]]] = {}
        self._views = {need.reference(f): (need.view, f) for need in selection.views
                       for f in need.features}  # fmt: skip

    def check(self, found: Sequence[tuple[Found, Any]], checks: int) -> None:
        """Explain the first that differ; compare ``checks`` others with the reference engine."""
        size, examined = len(self.answers), found[:MOST_EXAMINED]
        chosen = sorted({number * size // checks for number in range(checks)}) if checks else []
        self.fetch({number for (number, _), _ in examined} | set(chosen))
        wrong: dict[int, set[str]] = defaultdict(set)  # each value differs once
        for (number, output), _ in found:
            wrong[number].add(output.reference)
        for place, computed in examined:
            self._examine(place, computed)
        for number in chosen:
            for at, output in enumerate(self.selection.outputs):
                untold = self.answers.statuses[number][at] in UNTOLD
                if untold or output.reference in wrong[number]:
                    continue
                if output.reference in self._views:
                    self._with_reference(number, at, output)

    def fetch(self, numbers: set[int]) -> None:
        """Read the rows of the entities of some answers, once for each source and entity."""
        import pyarrow as pa

        for need in self.selection.views if numbers else ():
            entity, source = need.view.row_entity, need.view.source
            keys = {self._key(need.view, number) for number in numbers}
            place = _place(need.view)
            if place in self._rows:
                continue
            ordered = [key for key in keys if key is not None]
            columns = {
                name: pa.array([key[at] for key in ordered], dtype.arrow())
                for at, (name, dtype) in enumerate(entity.join_keys)
            }
            rows = rows_of_entities(self.histories[rows_of(source)], entity, columns)
            self._rows[place] = dict(zip(ordered, rows, strict=True))

    def rows_for(self, view: FeatureView, number: int) -> list[HistoryRow]:
        """Return the rows of the entity of an answer that were fetched, every version."""
        key = self._key(view, number)
        return [] if key is None else self._rows[_place(view)][key]

    def _key(self, view: FeatureView, number: int) -> tuple[Any, ...] | None:
        """Return the join keys of an answer for a view; None: a null key names no entity."""
        given = {**self.answers.entities[number], **view.constants}
        if any(given[name] is None for name in view.asked_entity.key_names):
            return None
        return tuple(key_of(view, given).values())

    def _served(self, number: int, output: Output) -> tuple[Any, str]:
        at = self.selection.outputs.index(output)
        return self.answers.values[number][at], self.answers.statuses[number][at]

    def _examine(self, place: Found, computed: Any) -> None:
        """Find the rows responsible for a difference and note it."""
        number, output = place
        t, served = self.answers.times[number], self._served(number, output)
        verdict = self.verdict(number, output)
        if verdict.in_flight:
            self.report.differing[output.reference] -= 1
            self.report.in_flight[output.reference] += 1
            return
        reference, why, culprits = verdict.value, verdict.why, verdict.rows
        entity = self.answers.entities[number]
        self.report.keep(
            Difference(output.reference, entity, t, served, computed, reference, why, culprits)
        )

    def verdict(self, number: int, output: Output) -> Verdict:
        """Return what the reference engine says of an answer whose rows were fetched."""
        served = self._served(number, output)[0]
        if output.reference in self._views:
            return self._of_view(number, output.reference, served)
        return self._on_demand(number, output.reference, served)

    def _of_view(self, number: int, reference: str, served: Any) -> Verdict:
        view, feature = self._views[reference]
        t, rows = self.answers.times[number], self.rows_for(view, number)
        return judge_value(view, feature, rows, t, served, grace=self.grace)

    def _on_demand(self, number: int, reference: str, served: Any) -> Verdict:
        """Compute an on-demand feature from values of the reference engine.

        It was in flight if leaving out rows that had only just become known gives what was served.
        """
        t, entity = self.answers.times[number], self.answers.entities[number]
        places = {_place(view): self.rows_for(view, number)
                  for view, _ in self._views.values()}  # fmt: skip
        choices = [[rows, *newest_left_out(rows, t, since=t - self.grace)]
                   for rows in places.values()]  # fmt: skip
        values = []
        for rows in islice(product(*choices), _MOST_COMBINED):
            of = dict(zip(places, rows, strict=True))
            columns: dict[str, list[Any]] = {
                name: [feature_value(view, f, of[_place(view)], t, t)[0]]
                for name, (view, f) in self._views.items()
            }
            columns |= {r.name: [r.dtype.coerce(entity[r.name])] for r in self.selection.requests}
            columns[NOW] = [from_micros(t)]
            compute_rows(self.selection.on_demand, columns, 1)
            values.append(columns[reference][0])
            if same_bits(values[-1], served):
                break
        why = f"Computed on demand from {', '.join(self._views)}; these rows count."
        culprits = tuple(
            row
            for view, feature in self._views.values()
            for row in counted(view, feature, self.rows_for(view, number), t)
        )
        in_flight = not same_bits(values[0], served) and same_bits(values[-1], served)
        return Verdict((values[0], ""), why, culprits, in_flight)

    def _with_reference(self, number: int, at: int, output: Output) -> None:
        """Compare an answer that both paths agree on with the reference engine."""
        view, feature = self._views[output.reference]
        rows, t = self.rows_for(view, number), self.answers.times[number]
        value, status = feature_value(view, feature, rows, t, t)
        served = (self.answers.values[number][at], self.answers.statuses[number][at])
        self.report.statuses += 1
        if same_bits(value, served[0]) and status.value == served[1]:
            return
        self.report.differing[output.reference] += 1
        entity, reference = self.answers.entities[number], (value, status.value)
        why = "Both paths agree with each other, not with the reference engine."
        culprits = counted(view, feature, rows, t)
        self.report.keep(
            Difference(output.reference, entity, t, served, served[0], reference, why, culprits)
        )
