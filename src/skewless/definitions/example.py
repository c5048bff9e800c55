"""Examples of features beside their definitions: rows, a moment, and what is expected then.

>>> from skewless.definitions.entity import Entity
>>> from skewless.definitions.source import Source
>>> from skewless.definitions.feature_view import FeatureView
>>> pays = Source("pays", schema={"card": str, "amount": float}, event_time="at")
>>> spend = FeatureView(
...     "Spend",
...     entity=Entity("card", card=str),
...     source=pays,
...     features={"total": pays.amount.sum("1h")},
... )
>>> Example(
...     "an hour is over",
...     of=spend,
...     rows=[{"card": "c", "amount": 5.0, "at": "2026-01-31T10:00:00Z"}],
...     at="2026-01-31T11:00:00Z",
...     expect={"total": 0.0},
... )
Example('an hour is over': 1 rows, 1 features expected of Spend)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any

from skewless.clock import to_micros
from skewless.definitions.feature_view import FeatureView
from skewless.definitions.on_demand import OnDemandView
from skewless.errors import DefinitionError, SkewlessError, UnknownName
from skewless.types import shown


class Example:
    """Rows, a moment, and the values that features have then: documentation that is checked.

    `skewless test` carries it out, in a store of its own: online and in a training set.

    Args:
        name: what it shows, in words.
        of: the view, on-demand or not.
        rows: of the view's source, or of what that is derived of, each known when it happened
            (and after the source's delay), in the order in which they come; or source name = such
            rows. A row may say ``known``, when it came to be known, where its source has no known
            time: a late row, a correction.
        at: the moment asked about, with a time zone.
        expect: feature = its value then; None where it has none.
        given: join keys and request fields; by default the join keys of the first row.

    Raises:
        DefinitionError: there is nothing to check, or it cannot be checked.
        UnknownName: a feature or source that is not there.
    """

    def __init__(
        self,
        name: str,
        *,
        of: FeatureView | OnDemandView,
        rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]],
        at: datetime | str,
        expect: Mapping[str, Any],
        given: Mapping[str, Any] | None = None,
    ) -> None:
        where = f"example {name!r}"
        if not isinstance(of, (FeatureView, OnDemandView)):
            raise DefinitionError(f"{where} is of no view", got=shown(of), expected="of=View")
        self.name, self.of = str(name), of
        self.rows = self._rows(where, of, rows)
        self.expect = dict(expect)
        if not self.expect:
            raise DefinitionError(f"{where} expects nothing", expected="expect={'feature': 1.0}")
        for feature, value in self.expect.items():
            if feature not in of.dtypes:
                raise UnknownName.of("feature", feature, of.features, where=f"view {of.name!r}")
            try:
                self.expect[feature] = of.dtypes[feature].coerce(value)
            except ValueError as problem:
                raise DefinitionError(
                    f"{where} expects what {feature} cannot be: {problem}"
                ) from None
        try:
            self.at = to_micros(at, where=where)
        except SkewlessError as problem:
            raise DefinitionError(problem.what, got=problem.got, where=where) from None
        self.given = self._given(where, of) if given is None else dict(given)

    @staticmethod
    def _rows(where: str, of: Any, rows: Any) -> dict[str, list[dict[str, Any]]]:
        if isinstance(rows, Mapping):
            return {source: [dict(row) for row in some] for source, some in rows.items()}
        if isinstance(of, OnDemandView):
            raise DefinitionError(
                f"{where} is of an on-demand view, which has no source of its own",
                expected="rows={'source': [...]}",
            )
        source = of.source
        while source.derivation is not None and source.derivation.base is not None:
            source = source.derivation.base
        return {source.name: [dict(row) for row in rows]}

    def _given(self, where: str, of: Any) -> dict[str, Any]:
        first = next((row for rows in self.rows.values() for row in rows), None)
        if first is None or isinstance(of, OnDemandView):
            raise DefinitionError(f"{where} says of no entity", expected="given={'card_id': 'c1'}")
        names = zip(of.asked_entity.key_names, of.row_entity.key_names, strict=True)
        return {name: first.get(row) for name, row in names if name not in of.constants}

    def __repr__(self) -> str:
        count = sum(map(len, self.rows.values()))
        return (
            f"Example({self.name!r}: {count} rows, {len(self.expect)} features expected of"
            f" {self.of.name})"
        )


def examples_in(modules: Iterable[ModuleType]) -> Iterator[Example]:
    """Yield the examples that modules hold, each once: by name, or in lists."""
    seen: set[int] = set()
    for module in modules:
        for value in vars(module).values():
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, Example) and id(each) not in seen:
                    seen.add(id(each))
                    yield each
