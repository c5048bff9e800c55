"""Generated traffic for the proof of parity: random views and streams, killed and restarted.

    rehearse(100_000, seed=7, judge=judge)

- `cast`: random definitions over every aggregation and window;
- `script`: a random stream for them: batches, corrections, deletions, upkeep, restarts;
- `stage`: a store to play a script on;
- `play`: plays scripts, reads at many instants, and hands what was served to a judge;
- `worker`: the process that is killed.
"""

from skewless.testing.rehearsal.runner import rehearse

__all__ = ["rehearse"]
