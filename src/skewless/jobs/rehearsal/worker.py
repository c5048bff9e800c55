"""The process that is killed: goes on with a play from one of its steps.

    python -m skewless.jobs.rehearsal.worker FOLDER SEED NUMBER VALUES STEP

After each step it prints the number of the step and of the newest row of the log.
"""

from __future__ import annotations

import sys
from pathlib import Path

from skewless.jobs.rehearsal.play import Play


def main(folder: str, seed: str, number: str, values: str, first: str) -> None:
    """Do the steps of a play from ``first`` on, until the end or a kill."""
    play = Play(int(seed), int(number), int(values))
    stage = play.stage(Path(folder))
    for at, step in enumerate(play.steps[int(first) :], int(first)):
        stage.perform(step)
        print(at, stage.last_sequence(), flush=True)


if __name__ == "__main__":
    # Arrow looks for pandas when it meets a datetime: a second of importing for nothing.
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    main(*sys.argv[1:])
