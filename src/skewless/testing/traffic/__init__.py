"""Generated traffic for the proof of parity: random views and streams, killed and restarted.

    run_scenarios(100_000, seed=7, check=check)

- `definitions`: random definitions over every aggregation and window;
- `events`: a random stream for them: batches, corrections, deletions, upkeep, restarts;
- `repo`: a store on which the steps of a stream are done;
- `runner`: does them, reads at many instants, and hands what was served to whoever checks it;
- `killing`, `worker`: processes that do some of the steps and are killed.
"""

from skewless.testing.traffic.runner import run_scenarios

__all__ = ["run_scenarios"]
