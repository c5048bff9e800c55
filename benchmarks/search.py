"""Search: how often the feature that was meant comes first, or among three; CPU of a query.

The queries of `benchmarks.search_catalog`: those that word lists and weights were chosen by, those
held out, and those that nothing answers. CPU is that of a query at three sizes of the catalogue
(teams beside each other, each under its own names); the index is built once for a revision.

    python -m benchmarks search
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all
from benchmarks.search_catalog import NOTHING, QUERIES, definitions

HEADINGS = {
    "features": "features",
    "tuned_at_1": "tuned: first",
    "tuned_at_3": "first 3",
    "held_out_at_1": "held out: first",
    "held_out_at_3": "first 3",
    "empty": "nothing found",
    "nothing_empty": "nothing where nothing fits",
    "cpu_ms": "CPU ms a query",
    "index_ms": "CPU ms to build the index",
}


def run(options: Options) -> Figures:
    """Measure hits once, and CPU at three sizes."""
    copies = (1, 4, 35)[: options.pick(1, 3, 3)]
    contenders = [
        Contender(f"{many} x 8 teams", "benchmarks.search:searched", {"copies": many})
        for many in copies
    ]
    return {
        "title": "Search: shares of hits and CPU",
        "contenders": run_all(contenders, options),
    }


def searched(clock: Clock, copies: int) -> dict[str, Any]:
    """Search a catalogue of the teams, so many times over; hits are counted of one copy alone."""
    import skewless as sl

    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as fs:
        fs.apply([made for copy in range(copies) for made in renamed(copy)])
        features = sum(len(view.features) for view in fs.views.values())
        start = cpu_seconds()
        fs.search("")
        built = cpu_seconds()
        texts = [query for _, query, _ in queries()]
        with clock:
            start_queries = cpu_seconds()
            for text in texts:
                fs.search(text)
            taken = cpu_seconds() - start_queries
        return {
            "features": features,
            **(rates(fs) if copies == 1 else {}),
            "cpu_ms": round(taken * 1e3 / len(texts), 3),
            "index_ms": round((built - start) * 1e3, 1),
        }


def renamed(copy: int) -> list[Any]:
    """Return the views of all teams under other names: `CardVelocity2`."""
    import skewless as sl

    if copy == 0:
        return definitions()
    return [
        sl.FeatureView(
            f"{view.name}{copy}",
            entity=view.entity,
            source=view.source,
            features=dict(view.expressions),
            owner=view.labels["owner"],
        )
        for view in definitions()
        if isinstance(view, sl.FeatureView)
    ]


def queries() -> Iterator[tuple[bool, str, str]]:
    """Yield for each query whether it is held out, its text and the pattern of what was meant."""
    for asked in QUERIES.values():
        for number, (text, pattern) in enumerate(asked):
            yield number % 3 == 2, text, pattern


def rates(fs: Any) -> dict[str, float]:
    """Return the shares of queries whose answer comes first, and among the first three."""
    hits: dict[bool, list[tuple[bool, bool]]] = {False: [], True: []}
    empty = 0
    for held_out, text, pattern in queries():
        names = [f"{hit['view']}:{hit['name']}" for hit in fs.search(text, 3)]
        fits = [fnmatch.fnmatchcase(name, pattern) for name in names]
        hits[held_out].append((any(fits[:1]), any(fits)))
        empty += not names
    return {
        **{
            f"{part}_at_{at}": round(sum(hit[place] for hit in hits[held]) / len(hits[held]), 3)
            for part, held in (("tuned", False), ("held_out", True))
            for place, at in enumerate((1, 3))
        },
        "empty": round(empty / sum(map(len, hits.values())), 3),
        "nothing_empty": round(sum(not fs.search(text) for text in NOTHING) / len(NOTHING), 3),
    }


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
