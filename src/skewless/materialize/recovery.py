"""After a loss, and after a change of owner: states are built from history.

heal(runtime)           # what the online store has lost: tables, last writes, single states
adopt(runtime)          # take the states over from whoever wrote them
without_state(runtime, table)   # the entities whose state is gone, found by reading everything
"""

from __future__ import annotations

from skewless.ledger.runs import recorded
from skewless.materialize.repair import bring_back, materialization
from skewless.materialize.verbs import Progress, build_anew, changed_keys, rebuild
from skewless.online.dirty_keys import any_marked
from skewless.online.loss_detection import logger, losses, standings
from skewless.online.oversize import set_aside
from skewless.online.ownership import Mark
from skewless.online.runtime import Runtime
from skewless.online.storage import is_states
from skewless.online.tables import StateTable

_AT_ONCE = 1_000


def heal(runtime: Runtime) -> list[str]:
    """Bring back what the online store has lost, and return the tables that lacked something.

    Whole tables, the last writes of a store that went back, and single states that were found to
    be missing. Nothing is done where another journal writes the states.

    Raises:
        Conflict: the repo has moved to another store.
    """
    healed: list[str] = []
    if runtime.may_forget and not runtime.ownership.is_mine():
        return healed
    runtime.ownership.check()
    runtime.to_rebuild.mark()
    tables = runtime.tables()
    every = [t for name in sorted(runtime.state().sources) for t in tables.of_source(name)]
    found = standings(runtime.home, [table.layout.table for table in every])
    if not (losses(found) or runtime.lag.behind or any_marked(runtime.journal)):
        return healed
    for table in every:
        layout = table.layout
        if found[layout.table].lost:
            logger.warning("%s: building %s again", runtime.home.states.where, layout.table)
            build_anew(runtime, table)
        elif not bring_back(runtime, table):
            continue
        healed.append(layout.table)
    return healed


def without_state(runtime: Runtime, table: StateTable) -> set[bytes]:
    """Return the entities of a complete table that history has a state for and the store has not.

    Reads all of history and all states: a read asks about the entities that are asked for alone.
    """
    layout, name = table.layout, table.layout.table
    known = changed_keys(layout, runtime.history(layout.source), None, None, None)
    if not runtime.one_store:
        known -= set_aside(runtime.journal, name).keys()
    every, gone = sorted(known), set[bytes]()
    for start in range(0, len(every), _AT_ONCE):
        keys = every[start : start + _AT_ONCE]
        found = runtime.online.read(name, keys)
        gone |= {key for key, state in zip(keys, found, strict=True) if state is None}
    # Of some entities no row counts any more; of others a push may have come meanwhile.
    gone = set(materialization(runtime, layout).states_of(gone)) if gone else gone
    return {key for key in gone if runtime.online.read_one(name, key) is None}


@recorded("adopt")
def adopt(runtime: Runtime, *, progress: Progress | None = None) -> Mark | None:
    """Take the states of the online store over from whoever wrote them, and rebuild them.

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
