"""Applying a plan: the registry changes in one transaction, then the tables of states follow."""

from __future__ import annotations

from dataclasses import replace

from skewless.online.tables import TABLES, note_change
from skewless.plan.apply.diff import ApplyPlan
from skewless.runtime import Runtime


def apply_plan(runtime: Runtime, plan: ApplyPlan, *, who: str, allow_breaking: bool) -> int:
    """Carry out a plan and return the registry's revision.

    A table of states whose source has no history yet is ready at once; all others become ready
    when they are materialized.
    """
    revision = runtime.registry.apply(plan, who=who, allow_breaking=allow_breaking)
    state = runtime.state(fresh=True)
    runtime.forget_plans()
    tables = runtime.tables()
    with runtime.journal.transaction() as transaction:
        for name, table in tables.wanted().items():
            source = state.sources[table.layout.source.name]
            empty = source.table is None and runtime.log(source).last_sequence() == 0
            if not table.ready and empty:
                tables.mark_ready(transaction, name, None)
            elif table.unused is not None or transaction.read_one(TABLES, name.encode()) is None:
                tables.save(transaction, replace(table, unused=None))
        note_change(transaction)
    runtime.forget_plans()
    return revision
