"""What changes which tables of states there are: the registry first, then the journal's records.

Whatever changes the registry goes through here. A crash between the two leaves records that lack a
table, whose views say `building`, or that have one too many, which pushes keep up: `reconcile` may
follow at any later time, and does with every apply and materialization.
"""

from __future__ import annotations

from skewless.online.runtime import Runtime
from skewless.online.tables import StateTables
from skewless.plan.apply.diff import ApplyPlan


def apply_plan(runtime: Runtime, plan: ApplyPlan, *, who: str, allow_breaking: bool) -> int:
    """Carry out a plan and return the registry's revision."""
    revision = runtime.registry.apply(plan, who=who, allow_breaking=allow_breaking)
    reconcile(runtime)
    return revision


def retire(runtime: Runtime, view: str, version: int, *, who: str = "") -> int:
    """End the service of one version of a view and return the registry's revision.

    Raises:
        UnknownName: there is no such version.
        RegistryError: it is current, or a service or an on-demand view is pinned to it.
    """
    revision = runtime.registry.retire(view, version, who=who)
    reconcile(runtime)
    return revision


def reconcile(runtime: Runtime) -> None:
    """Make the records of tables what the registry wants, in one transaction of the journal."""
    with runtime.journal.transaction() as transaction:
        # Read while others wait: whoever comes last goes by the newest definitions.
        state = runtime.registry.state()
        StateTables.load(transaction, state).reconcile(
            transaction,
            lambda source: runtime.log(source).last_sequence(transaction),
            now=runtime.clock.now(),
        )
    runtime.state(fresh=True)
    runtime.forget_plans()
