"""An explanation as sections of a page: each aggregation with its timeline and its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import from_micros
from skewless.definitions import Aggregate, FeatureView
from skewless.definitions.references import split_reference
from skewless.explain.build_up import aggregates_of, build_up
from skewless.explain.report import ExplainedAggregate, Explanation
from skewless.formatting import ago
from skewless.ui.charts.timeline import Row, Timeline
from skewless.ui.charts.zoom import Stretch, zoomed
from skewless.ui.site import Site

SHOWN_ROWS = 60
_MOST_ROWS = 2_000


@dataclass(frozen=True)
class Section:
    """One aggregation of an explanation.

    Attributes:
        of: the feature it belongs to, where that is an input of the one that was asked about.
        part: the aggregation, explained.
        timeline: what is drawn; None where its rows are those of another section.
        same_as: the letter of that section.
        rows: lines of the table of rows, newest first.
        hidden: how many rows are not in it.
        zoom: words, and the addresses that show another stretch of time.
    """

    of: str
    part: ExplainedAggregate
    timeline: Timeline | None
    same_as: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    hidden: int = 0
    zoom: list[tuple[str, str]] = field(default_factory=list)


def explained(
    site: Site, found: Explanation, *, whole: bool, zoom: str, link: Callable[[str], str]
) -> list[Section]:
    """Return the sections of an explanation, those of its inputs included.

    Args:
        site: what is looked at.
        found: the explanation.
        whole: whether the tables have every row, not only those that are drawn.
        zoom: the parameter that says what a timeline shows; empty: each all of it.
        link: the address of this page with another such parameter.

    Raises:
        InputError: the zoom is none.
    """
    closer = dict([zoomed(zoom)] if zoom else [])
    sections: list[Section] = []
    for each, of in _all(found):
        name, version, feature = split_reference(each.feature)
        view = site.state.view(name, version)
        if not isinstance(view, FeatureView):
            continue
        told: dict[Any, str] = {}
        for aggregate, part in zip(aggregates_of(view, feature), each.aggregates, strict=True):
            if part.fates in told:
                sections.append(Section(of, part, None, told[part.fates]))
                continue
            told[part.fates] = part.letter
            number = f"r{len(sections)}"
            seen = _Seen(number, closer.get(number), link)
            sections.append(_section(of, seen, aggregate, part, each.at, whole=whole))
    return sections


def _all(found: Explanation) -> Iterator[tuple[Explanation, str]]:
    """Yield an explanation and those of its inputs, with the feature that is an input."""
    yield found, ""
    for given in found.inputs:
        for each, of in _all(given):
            yield each, of or given.feature


@dataclass(frozen=True)
class _Seen:
    """What is looked at of a timeline: its name, the stretch, and how another is reached."""

    name: str
    zoom: Stretch | None
    link: Callable[[str], str]

    def address(self, stretch: Stretch) -> str:
        return f"{self.link(stretch.text(self.name))}#{self.name}"

    def steps(self, drawn: Timeline) -> list[tuple[str, str]]:
        whole = drawn.whole()
        return [
            (word, self.address(each) if each != whole else f"{self.link('')}#{self.name}")
            for word, each in drawn.stretch().steps(whole)
        ]


def _section(
    of: str, seen: _Seen, aggregate: Aggregate, part: ExplainedAggregate, at: int, *, whole: bool
) -> Section:
    name = seen.name
    built = build_up(aggregate, part, at)
    rows = [
        Row(number, row.event, row.known, row.verdict, row.value)
        for number, row in enumerate(part.rows)
    ]
    title = f"{part.text}: the rows of the entity in time"
    drawn = Timeline(name, title, rows, part.after, part.until, at, built, seen.zoom, seen.address)
    so_far = dict(zip((r.number for r in rows if r.verdict == "counted"), built, strict=False))
    chosen = rows[-_MOST_ROWS:] if whole else drawn.shown()[-SHOWN_ROWS:]
    lines = [
        {
            "id": f"{name}-{row.number}",
            "event": from_micros(row.event),
            "known": from_micros(row.known),
            "wait": ago(row.known - row.event) if row.known > row.event else "",
            "verdict": row.verdict,
            "value": row.value,
            "so_far": so_far.get(row.number),
            "cells": [part.rows[row.number].values[column] for column in part.columns],
        }
        for row in reversed(chosen)
    ]
    return Section(of, part, drawn, "", lines, len(rows) - len(chosen), seen.steps(drawn))
