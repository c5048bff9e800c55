"""What came of an experiment, as a value; it prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from skewless.experiments.comparison import Comparison, Interval
from skewless.formatting import Drawn

SUSPECT = 0.001
"""Below so likely, sizes of variants tell of a fault."""


@dataclass(frozen=True)
class ExperimentReport(Drawn):
    """Outcomes of both variants.

    Attributes:
        name: of the experiment.
        outcome: the feature that is compared.
        after: how long after the first exposure of a key.
        stopped: when it ended; None: it runs.
        exposed: keys that were given control and treatment.
        waiting: keys whose outcome is not due yet.
        missing: keys whose outcome is null.
        mismatch: how likely sizes as far from the share as these are by chance.
        compared: the means, their difference and its intervals.
    """

    name: str
    outcome: str
    after: str
    stopped: str | None
    exposed: tuple[int, int]
    waiting: int
    missing: int
    mismatch: float
    compared: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "verdict": self.compared.verdict}

    def __str__(self) -> str:
        found, (control, treatment) = self.compared, self.exposed
        percent = f"{found.confidence:.0%}"
        lines = [
            f"Experiment {self.name}: {self.outcome}, {self.after} after a key's first exposure",
            f"  exposed    control {control:,}, treatment {treatment:,} keys;"
            f" {self.waiting:,} are not due yet, {self.missing:,} have no outcome",
            f"  mean       control {_number(found.means[0])} of {found.counts[0]:,},"
            f" treatment {_number(found.means[1])} of {found.counts[1]:,}",
            f"  difference {_number(found.difference)}",
            f"  {percent} at one look settled beforehand {_ends(found.interval)}",
            f"  {percent} at any number of looks         {_ends(found.anytime)}",
            f"  This is look {found.looks} at this outcome.",
            f"  {found.verdict}",
        ]
        if self.mismatch < SUSPECT:
            lines.append(
                f"  Sizes do not fit the share (p = {self.mismatch:.1g}): keys are lost, or exposed"
                " elsewhere. Find out before anything is concluded."
            )
        return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _ends(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.6g} to {interval[1]:+.6g}"
