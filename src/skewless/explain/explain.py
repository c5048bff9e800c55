"""Why a feature has its value: the rows that counted, those that did not, and the reason.

    print(explain(runtime, "FabRolling:vdd_mean", {"fab_id": "f1"}, None))

The rows come from history and the value from the reference engine, so this is an answer that does
not lean on the machinery it explains; what the online store says is set beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skewless.clock import Now, from_micros
from skewless.definitions import Aggregate, FeatureView, OnDemandView, Source
from skewless.definitions.expressions import Column, Request
from skewless.definitions.references import FeatureRef, split_reference
from skewless.durations import format_duration
from skewless.engines.reference import (
    HistoryRow,
    aggregate_value,
    explain_rows,
    feature_value,
    visible,
)
from skewless.errors import InputError, MissingColumn
from skewless.explain.behind import rows_behind
from skewless.explain.describe import (
    bounds_of,
    columns_used,
    formula_of,
    letter_of,
    window_text,
)
from skewless.explain.entity_rows import entity_rows, key_of
from skewless.explain.report import (
    ExplainedAggregate,
    ExplainedRow,
    Explanation,
    OnlineAnswer,
)
from skewless.explain.store_view import StoreView
from skewless.expressions.on_demand import compute_rows
from skewless.expressions.scalar import NOW, evaluate_scalar, leaf_key
from skewless.formatting import same_bits, shown
from skewless.plan.selection import NeededView, select
from skewless.state.status import Status
from skewless.types import DType

__all__ = ["Explanation", "explain"]

MADE_OF = 5
"""Of so many rows of a derived source, the newest that counted, what they are made of is told."""


def explain(
    runtime: StoreView, feature: str, entity: Mapping[str, Any], at: int | None
) -> Explanation:
    """Return where a feature's value comes from.

    Args:
        runtime: the open repo.
        feature: ``View:feature`` or ``View@v2:feature``.
        entity: join keys; for on-demand features also the request fields.
        at: the moment, UTC microseconds; None: now.

    Raises:
        DefinitionError: the text is no reference.
        UnknownName: there is no such feature.
        MissingColumn, InputError: a join key or request field is missing or wrong.
    """
    now = runtime.clock.now()
    job = _Job(runtime, entity, Now(now) if at is None else at)
    found = job.explained(feature)
    online = job.online(found, now)
    return Explanation(**{**found.__dict__, "online": online})


class _Job:
    """One question: an entity and a moment. Rows are read once for each source."""

    def __init__(self, runtime: StoreView, entity: Mapping[str, Any], t: int) -> None:
        self.runtime = runtime
        self.state = runtime.state()
        self.given = entity
        self.t = t
        self._rows: dict[tuple[str, tuple[str, ...]], list[HistoryRow]] = {}

    def explained(self, feature: str) -> Explanation:
        """Return the explanation of a feature, without what the online store says."""
        name, version, short = split_reference(feature)
        view = self.state.view(name, version)
        _ = view[short]
        number = self.state.current[name] if version is None else version
        reference = f"{name}@v{number}:{short}"
        if isinstance(view, OnDemandView):
            return self._on_demand(view, reference, short)
        return self._of_view(view, reference, short)

    def rows(self, view: FeatureView) -> list[HistoryRow]:
        """Return the entity's rows of the view's source."""
        keys = (*view.row_entity.key_names, *view.asked_entity.key_names, repr(view.constants))
        place = (repr(view.source.to_dict()), keys)
        if place not in self._rows:
            key = key_of(view, self.given)
            history = self.runtime.history(view.source)
            self._rows[place] = entity_rows(history, view.row_entity, key)
        return self._rows[place]

    def _knowledge(self, view: FeatureView) -> int:
        """Return what counts: what was known at the moment; at present all that the log knows."""
        if not isinstance(self.t, Now):
            return self.t
        return max(int(self.t), self.runtime.log(view.source).state().stamped)

    def _of_view(self, view: FeatureView, reference: str, feature: str) -> Explanation:
        key = key_of(view, self.given)
        rows = self.rows(view)
        expression = view.expressions[feature]
        value, status = feature_value(view, feature, rows, self.t, self._knowledge(view))
        aggregates: dict[str, Aggregate] = {}
        for leaf in expression.leaves():
            if isinstance(leaf, Aggregate):
                aggregates.setdefault(leaf_key(leaf), leaf)
        alone = isinstance(expression, Aggregate)
        letters = {name: letter_of(at) for at, name in enumerate(aggregates)}
        parts = tuple(
            self._aggregate(view, aggregate, rows, "" if alone else letters[name])
            for name, aggregate in aggregates.items()
        )
        values = dict(zip(aggregates, (shown(part.value) for part in parts), strict=True))
        return Explanation(
            reference,
            key,
            self.t,
            value,
            status.value,
            formula="" if alone else formula_of(expression, letters),
            filled="" if alone else formula_of(expression, values),
            aggregates=parts,
        )

    def _aggregate(
        self, view: FeatureView, aggregate: Aggregate, rows: list[HistoryRow], letter: str
    ) -> ExplainedAggregate:
        k = self._knowledge(view)
        value, status = aggregate_value(aggregate, view, visible(rows, k), self.t)
        after, until = bounds_of(aggregate, view, self.t)
        column = aggregate.column
        judged = [
            (row, verdict)
            for row, verdict in explain_rows(aggregate, view, rows, self.t, k)
            if row.event is not None and not row.deleted
        ]
        newest = [row for row, verdict in judged if verdict == "counted"][-MADE_OF:]
        made_of = self._made_of(view.source, newest)
        behind = {id(row): its for row, its in zip(newest, made_of, strict=True)}
        explained = tuple(
            ExplainedRow(
                row.event or 0,
                row.known,
                verdict,
                None if column is None else evaluate_scalar(column, row.values),
                row.values,
                behind.get(id(row), ()),
            )
            for row, verdict in judged
        )
        return ExplainedAggregate(
            repr(aggregate),
            letter,
            window_text(aggregate, view, after, until, self.t),
            after,
            until,
            value,
            status.value,
            explained,
            columns_used(aggregate, view),
            computed=not (column is None or isinstance(column, Column)),
            forms=str(aggregate.forms),
            made_of=view.source.derivation.source if view.source.derivation else "",
        )

    def _made_of(
        self, source: Source, rows: Sequence[HistoryRow]
    ) -> list[tuple[ExplainedRow, ...]]:
        """Return for each row of a source the rows that it is made of, and these of theirs."""
        if source.derivation is None:
            return [() for _ in rows]
        base = self.runtime.source(source.derivation.source)
        hidden = () if base.derivation is None else base.derivation.hidden
        found = rows_behind(self.runtime, source, rows)
        further = iter(self._made_of(base, [each for its in found for each in its]))
        return [
            tuple(
                ExplainedRow(
                    each.event or 0,
                    each.known,
                    "made of",
                    None,
                    {name: value for name, value in each.values.items() if name not in hidden},
                    next(further),
                )
                for each in its
            )
            for its in found
        ]

    def _on_demand(self, view: OnDemandView, reference: str, feature: str) -> Explanation:
        expression = view.expressions.get(feature)
        leaves = list(view.inputs.values() if expression is None else expression.leaves())
        inputs = {x.reference: x for x in leaves if isinstance(x, FeatureRef)}
        explained = tuple(self.explained(name) for name in inputs)
        requests = {x.name: self._field(x.name, x.dtype) for x in leaves if isinstance(x, Request)}
        value = self._computed(reference)
        if expression is None:
            formula = f"{view.name}({', '.join(f'{a}={x!r}' for a, x in view.inputs.items())})"
            filled = ""
        else:
            names = {name: name for name in (*inputs, *requests)}
            values = {name: shown(e.value) for name, e in zip(inputs, explained, strict=True)}
            values |= {name: shown(value) for name, value in requests.items()}
            formula, filled = formula_of(expression, names), formula_of(expression, values)
        entity = {name: value for given in explained for name, value in given.entity.items()}
        return Explanation(
            reference,
            entity,
            self.t,
            value,
            "null" if value is None else "present",
            formula,
            filled,
            inputs=explained,
            requests=requests,
        )

    def _computed(self, reference: str) -> Any:
        """Return the value of an on-demand feature, over values of the reference engine."""
        selection = select(self.state, [reference])
        columns: dict[str, list[Any]] = {}
        for need in selection.views:
            columns |= self._values(need)
        for request in selection.requests:
            columns[request.name] = [self._field(request.name, request.dtype)]
        columns[NOW] = [from_micros(self.t)]
        compute_rows(selection.on_demand, columns, 1)
        return columns[selection.outputs[0].reference][0]

    def _values(self, need: NeededView) -> dict[str, list[Any]]:
        rows, k = self.rows(need.view), self._knowledge(need.view)
        return {
            need.reference(name): [feature_value(need.view, name, rows, self.t, k)[0]]
            for name in need.features
        }

    def _field(self, name: str, dtype: DType) -> Any:
        if name not in self.given:
            raise MissingColumn.of(name, self.given, where="the request")
        try:
            return dtype.coerce(self.given[name])
        except ValueError as problem:
            raise InputError(f"request field {name!r}: {problem}") from None

    def online(self, found: Explanation, now: int) -> OnlineAnswer:
        """Return what the online store says, where it can be asked for the moment."""
        rewind = self.runtime.config.rewind
        if not now - rewind <= self.t <= now:
            reach = format_duration(rewind)
            return OnlineAnswer(note=f"answers for the last {reach} only (rewind)")
        reader = self.runtime.reader
        lookup = reader.lookup([found.feature], False)
        try:
            values, statuses, _ = reader.read(lookup, [self.given], self.t)
        except InputError as problem:
            return OnlineAnswer(note=f"cannot answer: {problem}")
        value, status = values[0][0], statuses[0][0].value
        same = same_bits(value, found.value) and status == found.status
        note = "" if same else "Bring it up to date: fs.materialize()."
        if status == Status.BUILDING:
            note = "Its states are not built from all of history yet: fs.materialize()."
        return OnlineAnswer(value, status, same, note)
