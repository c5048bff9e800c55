"""What changes which tables of states there are: the registry first, then the journal's records.

Whatever changes the registry goes through here. A crash between the two leaves records that lack a
table, whose views say `building`, or that have one too many, which pushes keep up: `reconcile` may
follow at any later time, and does with every apply and materialization.

A service that is to move to other versions moves when they are complete: until then the registry
has its pins and those that are pending, and `reconcile` lets it move.
"""

from __future__ import annotations

from dataclasses import replace

from skewless.definitions import Source
from skewless.definitions.references import split_reference
from skewless.ledger.runs import recorded
from skewless.online.derive import check_versions
from skewless.online.removals import finish_removals, note_removals
from skewless.online.runtime import Runtime
from skewless.online.table_changes import note_change
from skewless.online.tables import Serving, StateTables
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.plan.apply.registry_state import Record
from skewless.plan.apply.renames import renamed


@recorded("apply", "plan.summary", "who", result=lambda revision: {"revision": revision})
def apply_plan(runtime: Runtime, plan: ApplyPlan, *, who: str, allow_breaking: bool) -> int:
    """Carry out a plan and return the registry's revision.

    Raises:
        DefinitionError: a source is derived of one whose log does not say what replaces what.
    """
    _check_derived(runtime, plan)
    before = runtime.registry.state()
    services = [record for record in plan.writes if record.kind == "feature service"]
    if services:
        state = renamed(before, plan.renames)
        serving = StateTables.load(runtime.journal, state).serving()
        held = {s.name: _held_back(s, state.record(s.kind, s.name), serving) for s in services}
        writes = [held.get(r.name, r) if r in services else r for r in plan.writes]
        plan = replace(plan, writes=tuple(writes))
    finish_removals(runtime)
    gone = [
        before.stored_name(s.name)
        for s in plan.changed
        if s.kind == "source" and s.action == "removed"
    ]
    if gone:
        note_removals(runtime, gone)
    revision = runtime.registry.apply(plan, who=who, allow_breaking=allow_breaking)
    finish_removals(runtime)
    reconcile(runtime)
    return revision


def _check_derived(runtime: Runtime, plan: ApplyPlan) -> None:
    """Refuse what is derived of rows of which the log does not say what they replace."""
    new = {step.name for step in plan.steps if step.kind == "source" and step.action == "added"}
    made = [
        r.body["derived"]["source"] for r in plan.writes if r.name in new and "derived" in r.body
    ]
    written = {r.name: r for r in plan.writes if r.kind == "source"}
    known = runtime.registry.state().sources
    for name in made:
        base = Source.from_dict(written[name].body) if name in written else known[name]
        check_versions(runtime, base)


def _held_back(service: Record, old: Record | None, serving: Serving) -> Record:
    """Return a service as it is written: with its old pins while the new ones are not complete."""
    if old is None or service.pins == old.pins or _complete(service.pins, serving):
        return service
    return replace(service, pins=old.pins, pending=service.pins)


def _complete(pins: tuple[str, ...], serving: Serving) -> bool:
    versions = {split_reference(pin)[:2] for pin in pins}
    return all(serving.is_complete((name, version or 0)) for name, version in versions)


@recorded("retire", "view", "version", "who", result=lambda revision: {"revision": revision})
def retire(runtime: Runtime, view: str, version: int, *, who: str = "") -> int:
    """End the service of one version of a view and return the registry's revision.

    Raises:
        UnknownName: there is no such version.
        RegistryError: it is current, or a service or an on-demand view is pinned to it.
    """
    revision = runtime.registry.retire(view, version, who=who)
    reconcile(runtime)
    return revision


def reconcile(runtime: Runtime, *, exactly: bool = False) -> None:
    """Make the records of tables what the registry wants, in one transaction of the journal.

    Services whose pending pins are complete by then move to them.

    Args:
        runtime: the open parts.
        exactly: see `StateTables.reconcile`.
    """
    with runtime.journal.transaction() as transaction:
        # Read while others wait: whoever comes last goes by the newest definitions, and logs.
        runtime.knows_tables(transaction)
        state = runtime.registry.state()
        tables = StateTables.load(transaction, state)
        tables.reconcile(
            transaction,
            lambda source: runtime.log(source).last_sequence(transaction),
            now=runtime.clock.now(),
            exactly=exactly,
        )
    serving = tables.serving()
    waiting = [r for r in state.records if r.pending and _complete(r.pending, serving)]
    if any([runtime.registry.settle(record.name, record.pending) for record in waiting]):
        with runtime.journal.transaction() as transaction:
            note_change(transaction)  # others look at the registry again
    runtime.forget_plans()
    runtime.tables()
