"""Two samples compared: the difference of their means, with two intervals, and their sizes.

>>> found = compare([0.0, 1.0] * 50, [1.0, 1.0, 0.0, 1.0] * 25, looks=1)
>>> round(found.difference, 3), [round(end, 3) for end in found.interval]
(0.25, [0.12, 0.38])
>>> found.anytime[0] < found.interval[0] and found.interval[1] < found.anytime[1]
True

Outcomes are one value a key, so that they are independent. ``interval`` is the usual one (Welch,
normal quantiles): right where it was settled beforehand when it is looked at, once. Whoever looks
again and again until it leaves out zero is wrong far more often than it says, so that beside it
stands ``anytime``: an asymptotic confidence sequence, which holds at all times at once, however
often it is looked at (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit
theory and asymptotic confidence sequences", 2021, theorem 2.2). It is narrowest around
``planned`` keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

FEWEST = 30
"""Of each variant: below, there is no interval, since normal quantiles do not hold."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """How the treatment differs from the control.

    Attributes:
        counts: outcomes of control and treatment.
        means: likewise; None without an outcome.
        difference: of the means; None where one is missing.
        interval: of the difference, for one look that was settled beforehand; None: too few.
        anytime: of the difference, for as many looks as anybody likes.
        confidence: of both.
        looks: how often it was looked at, this time included.
    """

    counts: tuple[int, int]
    means: tuple[float | None, float | None]
    difference: float | None
    interval: Interval | None
    anytime: Interval | None
    confidence: float
    looks: int

    @property
    def verdict(self) -> str:
        """What may be concluded, in words."""
        if self.anytime is None:
            return f"Too few outcomes to tell: at least {FEWEST} of each variant are needed."
        low, high = self.anytime
        if low > 0 or high < 0:
            return "The treatment differs, however often this was looked at."
        low, high = self.interval or (0.0, 0.0)
        if (low > 0 or high < 0) and self.looks > 1:
            return (
                f"It differs by the interval of one look, but this is look {self.looks}: that it"
                " does so by chance is likelier than the interval says. Wait."
            )
        if low > 0 or high < 0:
            return "The treatment differs, if it was settled beforehand to look now, and only now."
        return "No difference is shown, which does not say that there is none."


def compare(
    control: Sequence[float],
    treatment: Sequence[float],
    *,
    looks: int,
    confidence: float = 0.95,
    planned: int = 1_000,
) -> Comparison:
    """Return the difference of the means of two samples, with its intervals."""
    means = (fmean(control) if control else None, fmean(treatment) if treatment else None)
    counts = (len(control), len(treatment))
    difference = None if means[0] is None or means[1] is None else means[1] - means[0]
    interval = anytime = None
    if difference is not None and min(counts) >= FEWEST:
        error = math.sqrt(variance(control) / counts[0] + variance(treatment) / counts[1])
        half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
        interval = (difference - half, difference + half)
        half = error * _boundary(sum(counts), 1 - confidence, planned)
        anytime = (difference - half, difference + half)
    return Comparison(counts, means, difference, interval, anytime, confidence, looks)


def _boundary(n: int, alpha: float, planned: int) -> float:
    """Return how many standard errors of ``n`` values the sequence takes to each side."""
    log = -2 * math.log(alpha)
    rho2 = (log + math.log(log + 1)) / planned
    return math.sqrt(2 * (n * rho2 + 1) / (n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))


def mismatch(counts: tuple[int, int], share: float) -> float:
    """Return how likely sizes as far from the share as these are by chance; small: a fault.

    >>> mismatch((500, 500), 0.5), mismatch((600, 400), 0.5) < 0.001
    (1.0, True)
    """
    n = sum(counts)
    if n == 0:
        return 1.0
    z = (counts[1] - n * share) / math.sqrt(n * share * (1 - share))
    return 2 * NormalDist().cdf(-abs(z))
