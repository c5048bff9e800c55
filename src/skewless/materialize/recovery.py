"""After a loss, and after a change of owner: states are built from history.

heal(runtime)           # what the online store has lost: tables, last writes, single states
adopt(runtime)          # take the states over from whoever wrote them
"""

from __future__ import annotations

from skewless.materialize.repair import bring_back
from skewless.materialize.verbs import Progress, build_anew, rebuild
from skewless.online.dirty_keys import any_marked
from skewless.online.loss_detection import lacking, logger, standings
from skewless.online.ownership import Mark
from skewless.online.runtime import Runtime
from skewless.online.storage import is_states


def heal(runtime: Runtime) -> list[str]:
    """Bring back what the online store has lost, and return the tables that lacked something.

    Whole tables, the last writes of a store that went back, and single states that were found to
    be missing. Nothing is done where another journal writes the states.

    Raises:
        Conflict: the repo has moved to another store.
    """
    healed: list[str] = []
    if not runtime.may_forget or not runtime.ownership.is_mine():
        return healed
    runtime.ownership.check()
    tables = runtime.tables()
    every = [t for name in sorted(runtime.state().sources) for t in tables.of_source(name)]
    found = standings(runtime.home, [table.layout.table for table in every])
    if not (lacking(found) or runtime.lag.behind or any_marked(runtime.journal)):
        return healed
    for table in every:
        layout = table.layout
        if found[layout.table].lost:
            logger.warning("%s: building %s anew", runtime.home.states.where, layout.table)
            build_anew(runtime, table)
        elif not bring_back(runtime, table):
            continue
        healed.append(layout.table)
    return healed


def adopt(runtime: Runtime, *, progress: Progress | None = None) -> Mark | None:
    """Take the states of the online store over from whoever wrote them, and build them anew.

    Returns:
        The mark of the writer before; None: there was none.
    """
    home = runtime.home
    before = runtime.ownership.adopt(runtime.tables().tables)
    if not home.one_store:
        for name in home.states.tables():
            if is_states(name):
                home.states.drop(name)
    rebuild(runtime, None, progress=progress)
    return before
