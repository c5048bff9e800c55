"""Carrying out the examples beside definitions: expected, online and in a training set, one value.

    report = run_examples(definitions, examples)
    print(report)                      # a failing one shows the rows that counted

Each example has a store of its own in a temporary folder, whose clock stands where the example
says: rows come in the order given, at the moments at which they are known.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from skewless.clock import SettableClock, from_micros, to_micros
from skewless.codec import to_json
from skewless.config import Config
from skewless.definitions import FeatureView, Source
from skewless.definitions.example import Example
from skewless.definitions.repo import Definitions
from skewless.errors import InputError, SkewlessError, UnknownName
from skewless.explain.explain import explain
from skewless.formatting import Drawn, same_bits, shown
from skewless.ingest.catch_up import catch_up
from skewless.ingest.push import push
from skewless.online.apply import apply_plan
from skewless.online.runtime import Runtime
from skewless.plan.apply.diff import diff
from skewless.training.training_set import training_set

_CLOSE = 1e-9
"""How far a number may lie from what was written down, relatively: 0.1 + 0.2 is not 0.3."""


@dataclass(frozen=True)
class ExampleResult:
    """What became of one example.

    Attributes:
        name: of the example.
        view: it is of.
        wrong: for each feature that differs: expected, online and in training.
        why: for each, the rows behind the value, as `explain` shows them.
        problem: why it could not be carried out; empty where it was.
    """

    name: str
    view: str
    wrong: dict[str, tuple[Any, Any, Any]] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything is as expected, on both paths."""
        return not self.wrong and not self.problem

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        wrong = {
            feature: dict(zip(("expected", "online", "training"), map(to_json, found), strict=True))
            for feature, found in self.wrong.items()
        }
        return {
            "name": self.name,
            "view": self.view,
            "ok": self.ok,
            "wrong": wrong,
            "why": self.why,
            "problem": self.problem,
        }

    def lines(self) -> Iterator[str]:
        """Yield the result as lines of text."""
        yield f"{'ok  ' if self.ok else 'FAIL'}  {self.view}: {self.name}"
        if self.problem:
            yield f"      {self.problem}"
        for feature, (expected, online, training) in self.wrong.items():
            found = (
                shown(online)
                if same_bits(online, training)
                else (f"{shown(online)} online and {shown(training)} in training")
            )
            yield f"      {feature} is {found}, expected {shown(expected)}"
            yield from (f"      {line}".rstrip() for line in self.why[feature].splitlines())


@dataclass(frozen=True)
class ExampleReport(Drawn):
    """What became of examples; it prints as text.

    Attributes:
        results: one for each example, in order.
    """

    results: tuple[ExampleResult, ...]

    @property
    def ok(self) -> bool:
        """Whether all are as expected."""
        return all(result.ok for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {"ok": self.ok, "examples": [result.to_dict() for result in self.results]}

    def __str__(self) -> str:
        lines = [line for result in self.results for line in result.lines()]
        failed = sum(not result.ok for result in self.results)
        count = len(self.results)
        return "\n".join([*lines, f"{count} examples: {count - failed} ok, {failed} failed."])


def run_examples(definitions: Definitions, examples: Iterable[Example]) -> ExampleReport:
    """Carry out examples and return what became of them.

    Args:
        definitions: what the views of the examples are made of; tables and streams of their sources
            are left aside.
        examples: in the order in which they are to be reported.
    """
    return ExampleReport(tuple(_result(definitions, example) for example in examples))


def _result(definitions: Definitions, example: Example) -> ExampleResult:
    with tempfile.TemporaryDirectory(prefix="skewless-example-") as folder:
        clock = SettableClock()
        runtime = Runtime(Config.of(Path(folder), {}), clock)
        runtime.derive = partial(catch_up, runtime)
        try:
            return _carried_out(runtime, clock, definitions, example)
        except SkewlessError as problem:
            return ExampleResult(example.name, example.of.name, problem=str(problem))
        finally:
            runtime.close()


def _carried_out(
    runtime: Runtime, clock: SettableClock, definitions: Definitions, example: Example
) -> ExampleResult:
    view, given = example.of, example.given
    plan = diff(runtime.registry.state(), _by_pushes_alone(definitions))
    apply_plan(runtime, plan, who="example", allow_breaking=False)
    for known, source, row in sorted(_arrivals(definitions, example), key=lambda each: each[0]):
        clock.time = known
        result = push(runtime, source, [row], backdate=False)
        if result.quarantined:
            reason = result.quarantined[0].reason
            raise InputError("a row of the example does not fit", got=reason, where=source)
    clock.time = max(example.at, clock.time)
    references = [f"{view.name}:{feature}" for feature in example.expect]
    lookup = runtime.reader.lookup(references, False)
    (online,), _, _ = runtime.reader.read(lookup, [given], example.at)
    spine = [{**given, "example_at": from_micros(example.at)}]
    training = training_set(
        runtime, spine, references,
        timestamp="example_at", as_of="known", full_names=False, progress=None,
    ).to_dict()  # fmt: skip
    wrong, why = {}, {}
    for feature, served in zip(example.expect, online, strict=True):
        (trained,) = training[feature]
        expected = example.expect[feature]
        if not (same_bits(served, trained) and _as_expected(served, expected)):
            wrong[feature] = (expected, served, trained)
            reference = f"{view.name}:{feature}"
            why[feature] = str(explain(runtime, reference, given, example.at))
    return ExampleResult(example.name, view.name, wrong, why)


def _arrivals(
    definitions: Definitions, example: Example
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield when each row comes to be known, its source, and the row."""
    for name, rows in example.rows.items():
        if name not in definitions.sources:
            raise UnknownName.of("source", name, definitions.sources, where="the repo")
        source = definitions.sources[name]
        for row in rows:
            given = dict(row)
            known = given.pop("known", None) if "known" not in source.columns else None
            if known is None and source.known_time is not None:
                known = given.get(source.known_time)
            event = to_micros(given.get(source.event_time), where=f"a row of {name!r}")  # type: ignore[arg-type]
            moment = event + source.delay if known is None else to_micros(known, where="known")
            if moment <= example.at:  # what is not known by then is nobody's to see
                yield moment, name, given


def _by_pushes_alone(definitions: Definitions) -> Definitions:
    """Return the definitions with sources that have neither table nor stream nor delay."""

    def bare(source: Source) -> Source:
        return Source.from_dict({**source.to_dict(), "table": None, "stream": None, "delay": 0})

    found: list[Any] = [bare(source) for source in definitions.sources.values()]
    for view in definitions.views.values():
        found.append(FeatureView.from_dict(view.to_dict(), view.entity, bare(view.source)))
    return Definitions.of(found, list(definitions.on_demand.values()))


def _as_expected(value: Any, expected: Any) -> bool:
    """Whether a value is what was written down; numbers may differ in the last digits."""
    if isinstance(value, float) and isinstance(expected, float):
        return value == expected or math.isclose(value, expected, rel_tol=_CLOSE)
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(
            _as_expected(value[key], expected[key]) for key in value
        )
    if (
        isinstance(value, Sequence)
        and isinstance(expected, Sequence)
        and not isinstance(value, str)
    ):
        return len(value) == len(expected) and all(map(_as_expected, value, expected))
    return same_bits(value, expected)
