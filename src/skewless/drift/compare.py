"""One profile against another: which tests are made, and which findings are worth an alert.

| of | test | effect | floor |
|---|---|---|---|
| numbers with more than 20 different values | Kolmogorov and Smirnov | `D` | 0.1 |
| other numbers, text, flags | chi-square; cells of fewer than 10 are one | Cramér's V | 0.1 |
| lists, vectors: length and norm; times: age | as numbers | | |
| each status, and no value at all | two proportions | change of the share | 0.02 |

The p-values of all tests of a run are adjusted together (Benjamini and Hochberg, q = 0.05), and a
finding is an alert only where its effect reaches the floor as well: with a million entities
anything is significant. Fewer than 100 on a side is "too few": said, and never an alert.

Cramér's V is corrected for its bias (Bergsma 2013), which is that of many cells and few entities.

Texts that are too many to be listed are compared by 64 cells of their hash. Not by the most
frequent ones: what is most frequent in one sample is so by chance too, and less so in the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from skewless.drift.distances import jensen_shannon, number_distances
from skewless.drift.profile import MISSING, TRAINING, Profile
from skewless.drift.significance import (
    adjusted,
    chi_square,
    cramers_v,
    detectable,
    kolmogorov_distance,
    kolmogorov_p,
    merged_cells,
    two_proportions,
)

FEW = 100
Q = 0.05
FEW_VALUES = 20
FLOORS: Mapping[str, float] = {"D": 0.1, "V": 0.1, "share": 0.02}
PAGED: Mapping[str, float] = {"D": 0.2, "V": 0.2, "share": 0.04}
"""The effects that page when two windows in a row have them."""
_STATUSES = ("null", "unknown", "expired", "empty")
_NEW_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """What one test says of one feature.

    Attributes:
        of: the feature, version included.
        what: ``shape``, ``length``, ``norm``, ``age``, ``missing`` or a status.
        test: ``KS``, ``chi-square`` or ``two proportions``.
        effect: how large the difference is.
        measure: of what: ``D``, ``V`` or ``share`` (the change of a share, with its sign).
        n, m: entities of the reference and of now.
        p: the p-value of this test alone; None: too few entities.
        adjusted: for all tests of the run.
        could_show: of distances, the least that so many entities could show among so many tests.
        reference: what was compared with.
        beside: distances that are shown and alert nobody.
        new: values that the reference does not have, with their shares.
        level: ``""``, ``warn`` or ``page``.
    """

    of: str
    what: str
    test: str
    effect: float
    measure: str
    n: int
    m: int
    p: float | None
    adjusted: float | None = None
    could_show: float | None = None
    reference: str = ""
    beside: Mapping[str, float] = field(default_factory=dict)
    new: tuple[tuple[str, float], ...] = ()
    level: str = ""

    @property
    def too_few(self) -> bool:
        """Whether there are too few entities to tell anything."""
        return self.p is None

    @property
    def significant(self) -> bool:
        """Whether the difference is none of chance, whether it matters or not."""
        return self.adjusted is not None and self.adjusted <= Q

    @property
    def drifted(self) -> bool:
        """Whether it is significant and large enough to matter."""
        return self.significant and abs(self.effect) >= FLOORS[self.measure]

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return vars(self) | {
            "too_few": self.too_few, "drifted": self.drifted, "new": [list(e) for e in self.new],
        }  # fmt: skip

    def __str__(self) -> str:
        if self.too_few:
            return f"{self.of} {self.what}: too few entities ({self.n:,} and {self.m:,})"
        names = {"D": "D", "V": "Cramér's V", "share": "share changed by"}
        sign = "+" if self.measure == "share" else ""
        said = f"{names[self.measure]} {self.effect:{sign}.3g}"
        p = "" if self.adjusted is None else f", p adjusted {self.adjusted:.2g}"
        return (
            f"{self.of} {self.what}: {said}{p}, {self.m:,} entities against {self.n:,} of"
            f" {self.reference}"
        )


def compare(reference: Profile, current: Profile) -> list[Finding]:
    """Return the findings of one feature, p-values not adjusted yet."""
    found = [*_shapes(reference, current), *_shares(reference, current)]
    name = reference.name
    return [
        replace(each, reference=name, p=None if min(each.n, each.m) < FEW else each.p)
        for each in found
    ]


def judged(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a run with adjusted p-values, and a level where they alert."""
    tested = [each for each in findings if each.p is not None]
    values = adjusted([each.p for each in tested if each.p is not None])
    found = dict(zip(map(id, tested), values, strict=True))
    made = []
    for each in findings:
        could = None
        if each.measure == "D" and min(each.n, each.m):
            could = detectable(each.n, each.m, len(tested), Q)
        finding = replace(each, adjusted=found.get(id(each)), could_show=could)
        made.append(replace(finding, level="warn") if finding.drifted else finding)
    return made


def paged(finding: Finding, before: Finding | None) -> Finding:
    """Return a finding that pages where the window before had it too and the effect is large.

    Args:
        finding: of now.
        before: of the same test one window before; None: there was no alert.
    """
    large = abs(finding.effect) >= PAGED[finding.measure]
    return replace(finding, level="page") if finding.level and before and large else finding


# ------------------------------------------------------------------------------------------- tests


def _shapes(reference: Profile, current: Profile) -> Iterator[Finding]:
    n, m = reference.n, current.n
    both = [name for name in reference.curves if name in current.curves]
    listed = reference.complete and current.complete
    few = max(len(reference.counts), len(current.counts)) <= FEW_VALUES
    if not n or not m:
        return
    if both and not ("" in both and listed and few):
        for name in both:
            one, other = reference.curves[name], current.curves[name]
            distance = kolmogorov_distance(one, n, other, m)
            p = kolmogorov_p(distance, n, m)
            beside = number_distances(one, n, other, m)
            yield Finding(
                reference.of, name or "shape", "KS", distance, "D", n, m, p, beside=beside
            )
    elif listed or (reference.buckets and current.buckets):
        yield _by_cells(reference, current, listed=listed)


def _by_cells(reference: Profile, current: Profile, *, listed: bool) -> Finding:
    """Return the finding of chi-square, over values or over cells of their hash."""
    if listed:
        values = list(dict.fromkeys([*reference.counts, *current.counts]))
        rows = [[float(side.counts.get(v, 0)) for v in values] for side in (reference, current)]
    else:
        rows = [list(reference.buckets), list(current.buckets)]
    sizes = [sum(rows[0]), sum(rows[1])]
    # What is merged of several days counts entities more than once: n says how many there are.
    rows = [
        [x * side.n / size if size else 0.0 for x in row]
        for row, side, size in zip(rows, (reference, current), sizes, strict=True)
    ]
    table = merged_cells(rows)
    statistic, freedom, p = chi_square(table)
    effect = cramers_v(statistic, reference.n + current.n, freedom + 1)
    beside = {"js": jensen_shannon(*table)}
    new = tuple(
        (value, count / sizes[1])
        for value, count in current.counts.items()
        if reference.complete and value not in reference.counts
    )
    return Finding(
        reference.of, "shape", "chi-square", effect, "V", reference.n, current.n, p,
        beside=beside, new=new[:_NEW_SHOWN],
    )  # fmt: skip


def _shares(reference: Profile, current: Profile) -> Iterator[Finding]:
    told = TRAINING not in (reference.point, current.point)
    n, m = reference.entities, current.entities
    counts = {MISSING: (n - reference.n, m - current.n)}
    if told:
        n, m = reference.asked, current.asked
        counts = {s: (reference.statuses.get(s, 0), current.statuses.get(s, 0)) for s in _STATUSES}
    for status, (one, other) in counts.items():
        if n and m and (one or other):  # of what nobody lacks there is nothing to test
            p = two_proportions(one, n, other, m)
            change = other / m - one / n
            yield Finding(reference.of, status, "two proportions", change, "share", n, m, p)
