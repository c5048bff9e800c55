"""Checks of sources and views carried out: over history, over current values, over what was served.

    report = fs.check()
    print(report)
    report.ok

What is found goes into the ledger, so that `attainment` can tell how often checks have held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from skewless.checks.results import CheckResult
from skewless.checks.tallies import Tally
from skewless.clock import iso
from skewless.definitions import FeatureView
from skewless.definitions.checks import Check
from skewless.definitions.references import split_view
from skewless.errors import InputError, UnknownName
from skewless.ledger.ledger import Ledger
from skewless.ledger.runs import recorded
from skewless.materialize.checked import history_checked
from skewless.monitoring.statistics import values_now
from skewless.online.runtime import Runtime
from skewless.parity.served import Answers, read_log
from skewless.plan.apply.registry_state import RegistryState
from skewless.state.status import UNTOLD
from skewless.training.checked import KIND, noted

HISTORY, VALUES, SERVED = "history", "values", "served"


@dataclass(frozen=True)
class QualityReport:
    """What the checks of a repo found.

    Attributes:
        at: when, UTC microseconds.
        results: of every check that was carried out.
        skipped: what was left out, and why.
    """

    at: int
    results: tuple[CheckResult, ...] = ()
    skipped: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return not self.failed

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that do not hold."""
        return tuple(each for each in self.results if not each.ok)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "at": iso(self.at), "ok": self.ok,
            "results": [each.to_dict() for each in self.results], "skipped": list(self.skipped),
        }  # fmt: skip

    def __str__(self) -> str:
        if not self.results:
            return "\n".join(["No checks.", *self.skipped])
        lines = [f"{len(self.results) - len(self.failed)} of {len(self.results)} checks hold."]
        return "\n".join([*lines, *(f"  {each}" for each in self.failed), *self.skipped])


def _said(report: QualityReport) -> dict[str, Any]:
    return {"checks": len(report.results), "failed": len(report.failed)}


@recorded("check", "names", "served", result=_said)
def check(
    runtime: Runtime, names: Sequence[str] | None = None, served: str | Path | None = None
) -> QualityReport:
    """Carry checks out; see `FeatureStore.check`."""
    state = runtime.state(fresh=True)
    skipped: list[str] = []
    if served is not None:
        found = list(_of_served(runtime, state, names, Path(served), skipped))
    else:
        carried = list(_of_history(runtime, state, names, skipped))
        # All or none: what is noted of a pass that fails is what the next one compares with.
        found = [each for point, its in carried for each in noted(runtime.ledger, point, its)]
    return QualityReport(runtime.clock.now(), tuple(found), tuple(skipped))


def _of_history(
    runtime: Runtime, state: RegistryState, names: Sequence[str] | None, skipped: list[str]
) -> Iterator[tuple[str, list[CheckResult]]]:
    """Yield the point and the results of each source and view."""
    before = rows_before(runtime.ledger)
    for name in state.sources if names is None else names:
        if name in state.sources:
            source = state.sources[name]
            if source.checks:
                count = before.get(name)
                yield HISTORY, history_checked(runtime, source, source.checks, before=count)
        elif names is not None and split_view(name)[0] not in state.current:
            known = [*state.sources, *state.current]
            raise UnknownName.of("source or view", name, known, where=state.place)
    for label, view in _views(state, names):
        if not view.checks:
            continue
        try:
            table = values_now(runtime, label)[1]
        except InputError as problem:
            skipped.append(f"{label} was left out: {problem}")
            continue
        yield VALUES, _tallied(view.checks, label, [table], before)


def _views(state: RegistryState, names: Sequence[str] | None) -> Iterator[tuple[str, FeatureView]]:
    """Yield feature views with their versions: the current ones, or those that are named."""
    for name in state.current if names is None else names:
        bare, version = split_view(name)
        if bare in state.current:
            view = state.view(bare, version)
            if isinstance(view, FeatureView):
                yield f"{bare}@v{state.current[bare] if version is None else version}", view


def _tallied(
    checks: Sequence[Check], label: str, tables: Sequence[pa.Table], before: dict[str, int]
) -> list[CheckResult]:
    tally = Tally(checks, of=label, before=before.get(label))
    for table in tables:
        tally.add(table)
    return tally.results()


def _of_served(
    runtime: Runtime,
    state: RegistryState,
    names: Sequence[str] | None,
    path: Path,
    skipped: list[str],
) -> Iterator[CheckResult]:
    """Yield what the checks of views find among the values that were served."""
    wanted = dict(_views(state, names))
    tallies = {label: Tally(v.checks, of=label) for label, v in wanted.items() if v.checks}
    left: Counter[str] = Counter()
    for answers in read_log(path, state, left):
        for label, tally in tallies.items():
            table = _served_values(answers, wanted[label], label)
            if table is not None:
                tally.add(table)
    skipped += [f"{count:,} answers were left out {why}" for why, count in left.items()]
    for tally in tallies.values():
        if tally.rows:
            yield from noted(runtime.ledger, SERVED, tally.results())


def _served_values(answers: Answers, view: FeatureView, label: str) -> pa.Table | None:
    """Return the answers for all checked features of a view; None: some were not asked for.

    Answers that are no values (a state that is building) are no observations either.
    """
    checked = dict.fromkeys(column for each in view.checks for column in each.columns)
    places = {ref.partition(":")[2]: at for at, ref in enumerate(answers.features)
              if ref.partition(":")[0] == label}  # fmt: skip
    if not places.keys() >= checked.keys() or not places:
        return None
    rows = [
        number
        for number, statuses in enumerate(answers.statuses)
        if not any(statuses[at] in UNTOLD for at in places.values())
    ]
    columns = {
        name: pa.array([answers.values[row][at] for row in rows], view.dtypes[name].arrow())
        for name, at in places.items()
    }
    return pa.table(columns)


def rows_before(ledger: Ledger) -> dict[str, int]:
    """Return how many rows the newest check of each source and view has seen."""
    return {
        record.data["of"]: record.data["rows"]
        for record in ledger.records(kinds=[KIND])
        if record.data["point"] in (HISTORY, VALUES)
    }


class FailingChecks:
    """Which checks failed when each was last carried out; for metrics.

    Args:
        ledger: of the repo; it is read anew only when it has grown.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._size = -1
        self._failing: list[tuple[str, str, str]] = []

    def now(self) -> list[tuple[str, str, str]]:
        """Return source or view, point and check of each."""
        size = self._ledger.size()
        if size != self._size:
            newest = {
                (record.data["of"], record.data["point"]): record.data["results"]
                for record in self._ledger.records(kinds=[KIND])
            }
            self._failing = [
                (*place, result["check"])
                for place, results in newest.items()
                for result in results
                if not result["ok"]
            ]
            self._size = size
        return self._failing


@dataclass(frozen=True)
class Attainment:
    """How often the checks of a source or view have held.

    Attributes:
        of: the source, or the version of the view.
        held: how many results of checks say that they hold.
        checks: how many results there are.
    """

    of: str
    held: int
    checks: int

    @property
    def share(self) -> float:
        """Of the results, the share that holds."""
        return self.held / self.checks

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self) | {"share": self.share}


def attainment(ledger: Ledger, since: int) -> list[Attainment]:
    """Return how often checks have held since a moment, the worst first."""
    held, all_of = Counter[str](), Counter[str]()
    for record in ledger.records(kinds=[KIND], since=since):
        results = record.data["results"]
        all_of[record.data["of"]] += len(results)
        held[record.data["of"]] += sum(each["ok"] for each in results)
    found = [Attainment(name, held[name], count) for name, count in all_of.items()]
    return sorted(found, key=lambda each: (each.share, each.of))
