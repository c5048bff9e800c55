"""The walk through lives of stores: it passes, and it finds each fault that is put in."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import skewless.ingest.push
import skewless.materialize.materialize
import skewless.materialize.repair
import skewless.materialize.verbs
import skewless.online.apply
import skewless.online.clocks
import skewless.online.dedup
import skewless.online.derive
import skewless.online.ownership
import skewless.online.runtime
import skewless.online.storage
import skewless.online.tables
import skewless.online.update
import skewless.stores.offline.history
from skewless.stores.offline.superseded import Superseded
from skewless.testing.lifecycle import walk
from skewless.testing.lifecycle.definitions import MINUTE

pytestmark = pytest.mark.slow
Patch = Callable[[str, Callable[..., Any]], None]
SEEDS = (5, 3, 2)


def test_everything_that_can_be_read_is_right_or_building() -> None:
    report = walk(25_000, seed=SEEDS[0])

    assert report.ok, str(report)
    assert report.values >= 25_000
    assert report.statuses["present"] > report.statuses["building"] > 0
    assert len(report.done) > 15


def complete_too_early(patch: Patch) -> None:
    """A table of states answers before it is built."""
    served_by = skewless.online.tables.StateTables._served_by
    patch(
        "skewless.online.tables.StateTables._served_by",
        lambda tables, key: replace(served_by(tables, key), complete=True),
    )


def corrections_do_not_replace(patch: Patch) -> None:
    """A corrected row counts beside the one it replaces, online."""
    patch("skewless.online.update._replaced", lambda *_: [])


def history_forgets_what_was_replaced(patch: Patch) -> None:
    """Rows that were corrected or deleted come back when states are built."""
    import numpy as np

    nothing = Superseded(np.zeros(0, np.int64), np.zeros(0, np.int64))
    patch("skewless.stores.offline.history.find_superseded", lambda *_, **__: nothing)


def changed_entities_are_passed_over(patch: Patch) -> None:
    """Materialize does not find the entities with rows in new files."""
    patch("skewless.materialize.verbs.changed_keys", lambda *_: set())


def a_kill_is_not_made_good(patch: Patch) -> None:
    """Rows whose states were not written before a kill are taken for written."""
    skip = lambda runtime, _, layout, __: runtime.log(layout.source).last_sequence()  # noqa: E731
    patch("skewless.ingest.push.catch_up", skip)
    patch("skewless.materialize.repair.catch_up", skip)


def what_a_kill_left_undone_is_not_told(patch: Patch) -> None:
    """States that lack rows of the log, since a kill, answer as if they had them."""
    patch("skewless.online.lag.Lag.see_to", lambda *_: None)


def vanished_states_go_unnoticed(patch: Patch) -> None:
    """An entity whose state was evicted is taken for one that was never seen."""
    patch("skewless.online.runtime.Runtime._seen", lambda *_: set())


def anybody_may_write(patch: Patch) -> None:
    """The owner of the states is not asked for."""
    patch("skewless.online.ownership.Ownership.check", lambda *_, **__: None)


def projects_share_tables(patch: Patch) -> None:
    """Two projects on one store have the same tables."""
    patch("skewless.online.storage.of_project", lambda store, _: store)


def pins_move_at_once(patch: Patch) -> None:
    """A service moves to versions whose states are not complete."""
    patch("skewless.online.apply._held_back", lambda service, *_: service)


def a_fast_clock_hides_rows(patch: Patch) -> None:
    """Rows that a clock stamped which was later turned back are not counted."""
    patch("skewless.online.clocks.ClocksAhead.knowledge", lambda *given: given[-1])


def deliveries_count_twice(patch: Patch) -> None:
    """A row that is delivered again is taken for a correction."""
    of = skewless.online.dedup.keys_and_contents

    def other_every_time(*given: Any) -> tuple[Any, list[bytes]]:
        keys, contents = of(*given)
        return keys, [random.randbytes(16) for _ in contents]

    patch("skewless.online.dedup.keys_and_contents", other_every_time)


def rows_are_let_go_too_early(patch: Patch) -> None:
    """States that are built keep no rows of the oldest part of their windows."""
    retained = skewless.materialize.materialize.retained
    patch(
        "skewless.materialize.materialize.retained",
        lambda layout, rows, floor, *more: retained(layout, rows, floor + 20 * MINUTE, *more),
    )


def copies_are_taken_however_old(patch: Patch) -> None:
    """A repo goes on in a copy that lacks what was written since."""
    patch("skewless.online.runtime.Runtime._outdates", lambda *_: False)


def lost_states_are_copied_as_whole(patch: Patch) -> None:
    """A copy of a cache that has lost states is taken for whole."""
    patch("skewless.online.move.copy._Copying._note_building", lambda *_: None)


def rows_of_a_group_are_forgotten(patch: Patch) -> None:
    """A row that a correction takes out of its group stays in it."""
    patch("skewless.online.derived_rows.DerivedRows._left", lambda *_: iter(()))


FAULTS = {
    complete_too_early: (11, 0),
    corrections_do_not_replace: (10, 0),
    history_forgets_what_was_replaced: (10, 0),
    changed_entities_are_passed_over: (17, 0),
    a_kill_is_not_made_good: (18, 0),
    what_a_kill_left_undone_is_not_told: (28, 0),
    vanished_states_go_unnoticed: (10, 0),
    anybody_may_write: (11, 0),
    projects_share_tables: (20, 0),
    pins_move_at_once: (96, 0),
    a_fast_clock_hides_rows: (10, 0),
    deliveries_count_twice: (10, 0),
    rows_are_let_go_too_early: (10, 0),
    copies_are_taken_however_old: (24, 0),
    lost_states_are_copied_as_whole: (2, 19),
    rows_of_a_group_are_forgotten: (3, 2),
}
"""Each with a seed and the number of a life, soon after which it shows as walks are today."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_is_found(fault: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch.setattr)

    values = 0
    soon = (*FAULTS[fault], 5_000)
    for seed, first, most in (soon, *((seed, 0, 50_000) for seed in SEEDS)):
        report = walk(most, seed=seed, first=first, minimize=False)
        values += report.values
        if not report.ok:
            return
    pytest.fail(f"{fault.__doc__} Nothing was found in {values:,} values.")
