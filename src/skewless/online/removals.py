"""Sources that are removed: their rows are set apart, whenever a kill comes.

The registry is one store and the journal is another. So the journal has a note of each source that
is about to go, before the registry forgets it. Whoever applies next goes by the notes that are
left: a source that is no more in the registry was removed, and its rows are set apart before
another one can come under its name.
"""

from __future__ import annotations

from collections.abc import Iterable

from skewless.online.lease import POSITIONS
from skewless.online.log_generations import generation_of, is_used, note_generation
from skewless.online.runtime import Runtime
from skewless.online.table_changes import note_change
from skewless.stores.online.base import Transaction

_REMOVALS = "skewless.removals"


def note_removals(runtime: Runtime, sources: Iterable[str]) -> None:
    """Note, before the registry is changed, that sources are about to be removed.

    Args:
        runtime: the open parts.
        sources: the names that they are kept under.
    """
    revision = b"%d" % runtime.registry.state().revision
    with runtime.journal.transaction() as transaction:
        transaction.write(_REMOVALS, [(name.encode(), revision) for name in sources])


def finish_removals(runtime: Runtime) -> None:
    """Set the rows apart of sources that were removed, and are noted still."""
    if next(iter(runtime.journal.scan(_REMOVALS, limit=1)), None) is None:
        return
    with runtime.journal.transaction() as transaction:
        state = runtime.registry.state()
        for key, revision in list(transaction.scan(_REMOVALS)):
            if not state.keeps(key.decode()):
                _set_apart(transaction, key.decode())
            elif state.revision == int(revision):
                continue  # somebody is at it
            transaction.delete(_REMOVALS, [key])
    runtime.forget_plans()


def _set_apart(transaction: Transaction, source: str) -> None:
    """Keep the rows of a source that was removed apart; one without rows keeps its log.

    Where its streams were read up to goes with them.
    """
    generation = now = generation_of(transaction, source)
    while is_used(transaction, source, generation):
        generation += 1
    if generation != now:
        note_generation(transaction, source, generation)
    positions = [key for key, _ in transaction.scan(POSITIONS, prefix=f"{source}/".encode())]
    transaction.delete(POSITIONS, positions)
    note_change(transaction)  # a push that remembers it looks again
