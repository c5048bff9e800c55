"""The life of a store, walked at random: every value is right, or said to be building.

    report = walk(100_000, seed=7)

A life is a sequence of steps over one repo: rows pushed, late, twice, corrected and deleted; views
and services applied, changed, renamed, retired, removed and brought back; states materialized and
built over any interval; logs compacted; processes killed and started again; clocks set forward and
back; states moved, lost and shared with other projects. After every step everything that can be
read is read and compared with the reference engine over the rows that were acknowledged.

- `definitions`: what may be applied;
- `ledger`: which rows were acknowledged, and what values they make;
- `places`: where a store lies, and how it is killed;
- `steps`: what may happen;
- `checks`: everything that can be read, compared;
- `walk`: lives, one after the other; of one that fails, the fewest steps that show it.
"""

from skewless.testing.lifecycle.walk import LifecycleReport, walk

__all__ = ["LifecycleReport", "walk"]
