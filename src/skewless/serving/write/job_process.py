"""The process of one job: it stands back behind servers and programs, and ends with its server.

python -m skewless.serving.write.job_process JOB, with the settings of the server as its input
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from skewless.errors import SkewlessError
from skewless.serving.handover import taken
from skewless.serving.operate.metrics import Metrics
from skewless.serving.write.jobs import Jobs
from skewless.store import FeatureStore

NICE = 15


def main() -> None:
    """Carry a job out; what becomes of it stands in the registry."""
    (number,) = sys.argv[1:]
    try:
        config = taken(sys.stdin.buffer.readline())
    except EOFError:
        sys.exit(1)
    threading.Thread(target=_end_with_server, name="end with server", daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with FeatureStore(config) as store, contextlib.suppress(SkewlessError):  # it is in the job
        jobs = Jobs(store, Metrics())
        jobs.run(jobs.get(number))


def _end_with_server() -> None:
    """Wait for the end of standard input: the server is gone, and with it whoever wants the job."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
