"""What `FeatureStore.explain` gives back: values with the rows behind them, for people and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import iso
from skewless.codec import to_json
from skewless.formatting import Drawn, aligned, html_table, html_text, shown

SHOWN_ROWS = 20
_SHOWN_UNCOUNTED = 8
_SHOWN_BEHIND = 4


@dataclass(frozen=True)
class ExplainedRow:
    """A row of the entity and what became of it.

    Attributes:
        event: event time, UTC microseconds.
        known: known time, UTC microseconds.
        verdict: ``counted``, or why it did not count.
        value: what is aggregated: the column or expression; None for aggregations of whole rows.
        values: every column of the source.
        behind: of a row of a derived source that counted: the rows that it is made of, and behind
            these those that they are made of.
    """

    event: int
    known: int
    verdict: str
    value: Any
    values: Mapping[str, Any] = field(repr=False)
    behind: tuple[ExplainedRow, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data, times in ISO 8601."""
        return {
            "event_time": iso(self.event),
            "known_time": iso(self.known),
            "verdict": self.verdict,
            "value": to_json(self.value),
            "row": to_json(dict(self.values)),
            **({"behind": [row.to_dict() for row in self.behind]} if self.behind else {}),
        }


@dataclass(frozen=True)
class ExplainedAggregate:
    """One aggregation: its window at the moment, its rows, its value.

    Attributes:
        text: what is computed.
        letter: what it is called in the formula of a derived feature; empty where it is alone.
        window: which rows the window takes, in words.
        after: event times up to this one lie before the window, UTC microseconds; None: no bound.
        until: the greatest event time that may count, UTC microseconds.
        value: by the reference engine.
        status: how it came about.
        rows: of the entity, in row order.
        columns: the source columns that value and filters are made of.
        computed: whether the value is more than a column of the source.
        forms: in which forms it runs, in training sets and online, and what states keep of it.
        made_of: of rows of a derived source: the source that they are made of.
    """

    text: str
    letter: str
    window: str
    after: int | None
    until: int
    value: Any
    status: str
    rows: tuple[ExplainedRow, ...]
    columns: tuple[str, ...]
    computed: bool = False
    forms: str = ""
    made_of: str = ""

    @property
    def verdicts(self) -> dict[str, int]:
        """How many rows met which fate."""
        return dict(Counter(row.verdict for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return the aggregation as plain data."""
        return {
            "aggregate": self.text,
            "letter": self.letter,
            "window": self.window,
            "forms": self.forms,
            "after": None if self.after is None else iso(self.after),
            "until": iso(self.until),
            "value": to_json(self.value),
            "status": self.status,
            "verdicts": self.verdicts,
            "rows": [row.to_dict() for row in self.rows],
        }

    @property
    def fates(self) -> tuple[Any, ...]:
        """Equal for aggregations of which the same table of rows can be shown."""
        return self.window, self.columns, self.computed, tuple(row.verdict for row in self.rows)

    def lines(self, same_as: str = "") -> Iterator[str]:
        """Yield the aggregation as lines of text; without its rows if they are those of another."""
        name = f"{self.letter} = " if self.letter else ""
        yield f"{name}{self.text} = {shown(self.value)} ({self.status})"
        if same_as:
            yield f"    window and rows: those of {same_as}"
            return
        yield f"    window: {self.window}"
        if self.forms:
            yield f"    runs as: {self.forms}"
        counted = self.verdicts.get("counted", 0)
        rest = _counts(row for row in self.rows if row.verdict != "counted")
        yield f"    {counted} of {len(self.rows)} rows counted" + (f"; not: {rest}" if rest else "")
        if self.rows:
            headings, body, rest = self._table()
            yield ""
            yield aligned([headings, *body], indent=4)
            if rest:
                yield f"    {rest}"
        for row in (row for row in reversed(self.rows) if row.behind):
            yield from self._behind(row)

    def _behind(self, row: ExplainedRow) -> Iterator[str]:
        """Yield the rows that a row is made of as lines of text, the newest of them."""
        yield ""
        yield f"    {iso(row.event)} is made of {len(row.behind)} rows of {self.made_of}"
        some = row.behind[-_SHOWN_BEHIND:]
        names = list(some[0].values)
        body = [[iso(each.known), *(each.values[name] for name in names)] for each in some]
        yield aligned([["known time", *names], *reversed(body)], indent=8)
        if len(some) < len(row.behind):
            yield f"        and {len(row.behind) - len(some)} more"

    def html(self) -> str:
        """Return the aggregation drawn: its window, its rows in the colour of their verdicts."""
        name = f"{self.letter} = " if self.letter else ""
        title = f"{name}{self.text} = {shown(self.value)} ({self.status}); window: {self.window}"
        headings, body, rest = self._table()
        rows = [[*row[:-1], (row[-1], row[-1])] for row in body]
        return html_table(headings, rows, f"{title}{'; ' + rest if rest else ''}")

    def _table(self) -> tuple[list[str], list[list[Any]], str]:
        """Return headings, the rows to show, and what became of the others."""
        chosen = self._chosen()
        headings = ["event time", "known time", *self.columns]
        headings += [*(["value"] if self.computed else []), ""]
        body = [
            [iso(row.event), iso(row.known), *(row.values[name] for name in self.columns)]
            + ([row.value] if self.computed else [])
            + [row.verdict]
            for row in reversed(chosen)
        ]
        hidden = set(map(id, self.rows)) - set(map(id, chosen))
        rest = _counts(row for row in self.rows if id(row) in hidden)
        return headings, body, f"and {len(hidden)} more: {rest}" if hidden else ""

    def _chosen(self) -> list[ExplainedRow]:
        """Return the rows to show, in row order: the newest that count, and others nearby."""
        other = [row for row in self.rows if row.verdict != "counted"]
        counted = [row for row in self.rows if row.verdict == "counted"]
        near = sorted(other, key=lambda row: abs(row.event - self.until))
        kept = near[: max(_SHOWN_UNCOUNTED, SHOWN_ROWS - len(counted))]
        kept += counted[len(kept) - SHOWN_ROWS :] if len(kept) < SHOWN_ROWS else []
        wanted = set(map(id, kept))
        return [row for row in self.rows if id(row) in wanted]


@dataclass(frozen=True)
class OnlineAnswer:
    """What the online store gives for the same question.

    Attributes:
        value: None too where it was not asked, see ``note``.
        status: how it came about; empty where it was not asked.
        same: whether it equals the explained value to the bit; None where it was not asked.
        note: why it was not asked, or what to do where it differs.
    """

    value: Any = None
    status: str = ""
    same: bool | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        return {
            "value": to_json(self.value),
            "status": self.status,
            "same": self.same,
            "note": self.note,
        }

    def __str__(self) -> str:
        if self.same is None:
            return self.note
        verdict = "the same to the bit" if self.same else "NOT THE SAME"
        text = f"{shown(self.value)}  {self.status}  {verdict}"
        return f"{text}. {self.note}" if self.note else text


@dataclass(frozen=True)
class Explanation(Drawn):
    """A feature's value at a moment, and where it comes from.

    Attributes:
        feature: its full reference.
        entity: the join keys and request fields that matter.
        at: the moment, UTC microseconds; also what was known is what was known then.
        value: by the reference engine.
        status: how it came about.
        formula: of derived and on-demand features, over the letters of aggregates and inputs.
        filled: the formula with values in place of letters.
        aggregates: what the feature is made of.
        inputs: the features that an on-demand feature is made of.
        requests: the request fields that it is made of.
        online: what the online store says.
    """

    feature: str
    entity: Mapping[str, Any]
    at: int
    value: Any
    status: str
    formula: str = ""
    filled: str = ""
    aggregates: tuple[ExplainedAggregate, ...] = ()
    inputs: tuple[Explanation, ...] = ()
    requests: Mapping[str, Any] = field(default_factory=dict)
    online: OnlineAnswer | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain data, for JSON."""
        return {
            "feature": self.feature,
            "entity": to_json(dict(self.entity)),
            "at": iso(self.at),
            "value": to_json(self.value),
            "status": self.status,
            "formula": self.formula,
            "filled": self.filled,
            "aggregates": [aggregate.to_dict() for aggregate in self.aggregates],
            "inputs": [given.to_dict() for given in self.inputs],
            "requests": to_json(dict(self.requests)),
            "online": None if self.online is None else self.online.to_dict(),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        inputs = [each._repr_html_() for each in self.inputs]
        tables = [aggregate.html() for aggregate in self.aggregates]
        return html_text("\n".join(self._heading())) + "".join([*tables, *inputs])

    def _lines(self) -> Iterator[str]:
        yield from self._heading()
        told: dict[Any, str] = {}
        for aggregate in self.aggregates:
            yield ""
            yield from aggregate.lines(told.get(aggregate.fates, ""))
            told.setdefault(aggregate.fates, aggregate.letter)
        for given in self.inputs:
            yield ""
            yield from ("  | " + line if line else "  |" for line in str(given).splitlines())

    def _heading(self) -> Iterator[str]:
        entity = ", ".join(f"{name} = {shown(value)}" for name, value in self.entity.items())
        yield f"{self.feature} of {entity or 'all rows'} at {iso(self.at)}"
        yield ""
        yield f"  value    {shown(self.value)}  {self.status}"
        if self.online is not None:
            yield f"  online   {self.online}"
        if self.formula:
            yield f"  formula  {self.formula}"
        if self.filled:
            yield f"           {self.filled}"
        for name, value in self.requests.items():
            yield f"  request  {name} = {shown(value)}"


def _counts(rows: Iterable[ExplainedRow]) -> str:
    counts = Counter(row.verdict for row in rows)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
