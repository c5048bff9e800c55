"""The proof: what the online path serves is, bit for bit, what the offline path computes.

    print(verify(runtime))                                  # what is served now
    print(verify(runtime, served=".skewless/served"))       # what was served

See `parity.compare` for how answers are compared, `parity.live` for how
entities are chosen.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from skewless.explain.store_view import StoreView
from skewless.ledger.runs import recorded
from skewless.online.damage import damages
from skewless.parity.compare import compare
from skewless.parity.live import verify_live
from skewless.parity.report import ParityReport
from skewless.parity.served import gathered, read_log
from skewless.plan.results import OnlineResult

CHECKS = 50
"""How many answers are compared with the reference engine too, status included."""
_SHARE_CHECKED = 100
Checker = Callable[[StoreView, Sequence[OnlineResult], str], None]


def _said(report: ParityReport) -> dict[str, Any]:
    """Return what the ledger says of a report."""
    counts = {"reads": report.reads, "differing": report.differing.total()}
    return {"ok": report.ok, **counts, "damaged": report.damaged, "lost": report.lost}


@recorded("verify", "views", "seed", result=_said)
def verify(
    runtime: StoreView,
    views: str | Sequence[str] | None = None,
    *,
    served: str | Path | Iterable[OnlineResult] | None = None,
    entities: int = 1000,
    seed: int | None = None,
) -> ParityReport:
    """Compare what is served now, or was served, with history; see `FeatureStore.verify`."""
    names = [views] if isinstance(views, str) else views
    logs = [runtime.log(source) for source in runtime.state(fresh=True).sources.values()]
    if damaged := list(map(str, damages(runtime.home, logs))):
        return ParityReport("every byte of stores and logs", damaged=damaged)
    if served is None:
        if lost := runtime.losses():
            return ParityReport("what the online store has", lost=lost)
        chosen = secrets.randbelow(2**32) if seed is None else seed
        return verify_live(runtime, views=names, entities=entities, seed=chosen, checks=CHECKS)
    state = runtime.state(fresh=True)
    if isinstance(served, (str, Path)):
        report = ParityReport(f"the served log {served}")
        every = read_log(Path(served), state, report.skipped)
    else:
        report = ParityReport("results")
        every = iter(gathered(served))
    left = CHECKS
    for answers in every:
        if names is None or all(_is_of(name, names) for name in answers.features):
            compare(runtime, answers, report, checks=min(left, len(answers)))
            left -= min(left, len(answers))
    return report


def generated(seed: int | None) -> tuple[ParityReport, int, Checker]:
    """Return a report on generated traffic, its seed, and the check that writes it."""
    chosen = secrets.randbelow(2**32) if seed is None else seed
    report = ParityReport(f"generated traffic, seed {chosen}")

    def check(runtime: StoreView, results: Sequence[OnlineResult], scenario: str) -> None:
        before = report.differing.total()
        for answers in gathered(results):
            checks = -(-len(answers) // _SHARE_CHECKED)
            compare(runtime, answers, report, checks=checks, grace=0)
        if wrong := report.differing.total() - before:
            report.notes.append(f"{wrong} of them in {scenario}.")

    return report, chosen, check


def _is_of(reference: str, views: Sequence[str]) -> bool:
    view = reference.partition(":")[0]
    return view in views or view.partition("@")[0] in views
