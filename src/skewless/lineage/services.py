"""Feature services that read what nobody was granted: an apply that leads there is refused.

A service of a model is there to be read. Once a project has grants, each of its features that has a
class of data needs a grant that lets somebody read it, masked or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from skewless.definitions.grant import EVERY, Grant
from skewless.errors import DefinitionError
from skewless.lineage.access import Access, Asker
from skewless.lineage.personal import personal
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.plan.apply.registry_state import VIEW_KINDS, Record, RegistryState


def check_services(state: RegistryState, plan: ApplyPlan) -> None:
    """Refuse a plan after which a service reads data of a class that nobody may read.

    What was so before, by an older release, stays as it is.

    Args:
        state: what the registry holds, with the renames of the plan.
        plan: what is about to be applied.

    Raises:
        DefinitionError: it does; it names the service, the feature, its classes and the columns.
    """
    before = set(_ungranted(state))
    after = planned_state(state, plan)
    for service, reference in _ungranted(after):
        if (service, reference) not in before:
            found = personal(after)[reference]
            classes = ", ".join(sorted(found.classes))
            raise DefinitionError(
                f"feature service {service!r} reads data that nobody was granted",
                got=f"{reference}: {classes} ({', '.join(found.columns) or 'by its own words'})",
                expected="a grant that lets somebody read it",
                hint=f"A Grant with personal={sorted(found.classes)}, masked or not; or end the "
                'class where it ends: .declassify("reason").',
            )


def planned_state(state: RegistryState, plan: ApplyPlan) -> RegistryState:
    """Return what a registry holds after a plan, as far as it serves.

    Args:
        state: what it holds, with the renames of the plan.
        plan: the plan.
    """
    gone, written = set(plan.removals), {_place(each) for each in plan.writes}
    replaced = {_name(record) for record in plan.writes if record.current}
    kept = [
        replace(record, current=False) if _name(record) in replaced else record
        for record in state.records
        if (record.kind, record.name) not in gone and _place(record) not in written
    ]
    return replace(state, records=(*kept, *plan.writes))


def _name(record: Record) -> tuple[str, str]:
    return ("view" if record.kind in VIEW_KINDS else record.kind), record.name


def _place(record: Record) -> tuple[str, str, int]:
    return *_name(record), record.version


def _ungranted(state: RegistryState) -> Iterator[tuple[str, str]]:
    """Yield services with each feature that has a class and that no grant lets anybody read."""
    if not state.grants:
        return
    access, marked = Access(state), personal(state)
    askers = [who for grant in state.grants.values() for who in _askers(grant)]
    for service in state.pins:
        for reference in dict.fromkeys((*state.pins[service], *state.wanted_pins[service])):
            if reference in marked and not any(
                access.decide(asker, reference).allowed for asker in askers
            ):
                yield service, reference


def _askers(grant: Grant) -> Iterator[Asker]:
    """Yield somebody for each that a grant is for."""
    for who in grant.to:
        kind, _, name = who.partition(":")
        if who == EVERY:
            yield Asker()
        elif kind == "group":
            yield Asker("", frozenset({name}))
        else:
            yield Asker(who)
