"""Many definitions: CPU of each verb, and how it grows when there are four times the features.

Features of one view with a service, of 240 views with a service each, of one on-demand view, and
on-demand views of one feature each; every size and shape in a new process.

    python -m benchmarks definitions
"""

from __future__ import annotations

import gc
import itertools
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, found, measured, run_all

COLUMNS, VIEWS = 50, 240
VERBS = ("define", "plan", "apply", "plan again", "get", "search", "historical")
HEADINGS = {verb: f"{verb} ms" for verb in VERBS}
Shape = Callable[[int], tuple[list[Any], list[str]]]


def run(options: Options) -> Figures:
    """Measure every verb at three sizes, each four times the one before."""
    sizes = options.pick((20, 80), (300, 1200, 4800), (300, 1200, 4800))
    contenders = [
        Contender(name_of(shape, size), "benchmarks.definitions:verbs", {"shape": shape, "n": size})
        for shape in SHAPES
        for size in sizes
    ]
    results = run_all(contenders, options)
    return {
        "title": "Many definitions, CPU milliseconds",
        "contenders": results,
        "ratios": {
            f"{shape}, {large:,} features / {small:,}: {verb}": growth
            for shape in SHAPES
            for small, large in itertools.pairwise(sizes)
            for verb, growth in _growth(results, shape, small, large)
        },
    }


def name_of(shape: str, size: int) -> str:
    """Return what a contender is called."""
    return f"{shape}, {size:,} features"


def _growth(results: list[Figures], shape: str, small: int, large: int) -> list[tuple[str, float]]:
    one, other = (found(results, name_of(shape, size)) for size in (small, large))
    if not (one and other and measured(one) and measured(other)):
        return []
    return [(verb, round(other[verb] / max(one[verb], 0.01), 1)) for verb in VERBS]


def verbs(clock: Clock, shape: str, n: int) -> dict[str, Any]:
    """Define, plan, apply, read: the CPU milliseconds of each, the least of three repos."""
    import skewless as sl

    least: dict[str, float] = {}

    def timed(verb: str, call: Callable[[], Any]) -> Any:
        start = cpu_seconds()
        value = call()
        taken = round((cpu_seconds() - start) * 1e3, 2)
        least[verb] = min(taken, least.get(verb, taken))
        return value

    with clock:
        for _ in range(3):
            gc.collect()
            made, asked = timed("define", lambda: SHAPES[shape](n))
            with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as fs:
                plan = timed("plan", lambda: fs.plan(made))  # noqa: B023 - called at once
                timed("apply", lambda: fs.apply(plan))  # noqa: B023
                timed("plan again", lambda: fs.plan(made))  # noqa: B023
                one = {"k": "a"}
                timed("get", lambda: fs.get_online_features(asked, [one], full_names=True))  # noqa: B023
                timed("search", lambda: fs.search("mean of c1"))
                spine = [{**one, "t": datetime.now(UTC)}]
                timed(
                    "historical",
                    lambda: fs.get_historical_features(
                        spine,  # noqa: B023
                        asked,  # noqa: B023
                        timestamp="t",
                        full_names=True,
                    ),
                )
    return {verb: least[verb] for verb in VERBS}


def _base() -> tuple[Any, Callable[[int], Any], Any]:
    import skewless as sl

    entity = sl.Entity("e", k=str)
    schema = {"k": str, **{f"c{number}": float for number in range(COLUMNS)}}
    source = sl.Source("s", schema=schema, event_time="at")

    def feature(number: int) -> Any:
        return source[f"c{number % COLUMNS}"].mean(f"{1 + number // COLUMNS}h")

    return source, feature, entity


def _one_view(n: int) -> tuple[list[Any], list[str]]:
    import skewless as sl

    source, feature, entity = _base()
    features = {f"f{number}": feature(number) for number in range(n)}
    view = sl.FeatureView("V", entity=entity, source=source, features=features)
    return [view, sl.FeatureService("service", [view])], ["service"]


def _many_views(n: int) -> tuple[list[Any], list[str]]:
    import skewless as sl

    source, feature, entity = _base()
    count = min(VIEWS, n)
    views = [
        sl.FeatureView(
            f"V{view}",
            entity=entity,
            source=source,
            features={f"f{number}": feature(number) for number in range(view, n, count)},
        )
        for view in range(count)
    ]
    services = [sl.FeatureService(f"s{number}", [view]) for number, view in enumerate(views)]
    return [*views, *services], [f"V{number}:f{number}" for number in range(count)]


def _two(source: Any, feature: Callable[[int], Any], entity: Any) -> Any:
    import skewless as sl

    features = {"a": feature(0), "b": feature(1)}
    return sl.FeatureView("Base", entity=entity, source=source, features=features)


def _on_demand(n: int) -> tuple[list[Any], list[str]]:
    import skewless as sl

    base = _two(*_base())
    features = {f"o{number}": base.a * float(number) + base.b for number in range(n)}
    return [base, sl.OnDemandView("O", features=features)], ["O"]


def _on_demand_views(n: int) -> tuple[list[Any], list[str]]:
    import skewless as sl

    base = _two(*_base())
    views = [
        sl.OnDemandView(f"O{number}", features={"x": base.a * float(number)}) for number in range(n)
    ]
    return [base, *views], [f"O{number}:x" for number in range(0, n, max(1, n // 100))]


SHAPES: dict[str, Shape] = {
    "one view and a service": _one_view,
    "240 views and services": _many_views,
    "one on-demand view": _on_demand,
    "on-demand views": _on_demand_views,
}


def summary(_: Figures) -> list[Line]:
    """Nothing of this is in the README's table."""
    return []
