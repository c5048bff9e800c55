"""A small shop's definitions, and the parts of them that tests change."""

from typing import Any

from skewless.definitions import (
    Entity,
    FeatureService,
    FeatureView,
    OnDemandView,
    Request,
    Source,
)
from skewless.definitions.repo import Definitions
from skewless.plan.apply.apply_plan import ApplyPlan, Step
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import RegistryState
from skewless.registry.base import Registry


def card(**join_keys: Any) -> Entity:
    """An entity; join keys as given, else ``card_id``."""
    return Entity("card", **(join_keys or {"card_id": str}))


def payments(**changes: Any) -> Source:
    """A source of amounts and countries of cards."""
    schema = changes.pop("schema", {"card_id": str, "amount": float, "country": str})
    return Source("payments", schema=schema, event_time="at", **changes)


def spend(window: str = "7d", source: Source | None = None, **changes: Any) -> FeatureView:
    """A view of two features; ``changes`` are those of `FeatureView`."""
    rows = source or payments()
    features = changes.pop("features", None)
    features = features or {"mean": rows["amount"].mean(window), "count": rows.count("1d")}
    entity = changes.pop("entity", card())
    return FeatureView("Spend", entity=entity, source=rows, features=features, **changes)


def ratio(view: FeatureView | None = None, **labels: Any) -> OnDemandView:
    """An on-demand view over the mean of `spend`."""
    mean = (view or spend())["mean"]
    return OnDemandView("Payment", features={"ratio": Request("amount", float) / mean}, **labels)


def fraud(*features: Any, **labels: Any) -> FeatureService:
    """A service, of all features unless told."""
    return FeatureService("fraud", features or ["Spend:mean", "Payment:ratio"], **labels)


def shop(window: str = "7d", **changes: Any) -> Definitions:
    """Entity card, source payments, view Spend, on-demand view Payment, service fraud."""
    view = spend(window, **changes)
    return Definitions.of(view, ratio(view), fraud())


def applied(
    registry: Registry, *definitions: Any, removing: bool = False, **options: Any
) -> ApplyPlan:
    """Plan and apply, breaking or not; return the plan."""
    plan = diff(registry.state(), Definitions.of(*definitions), removing=removing, **options)
    registry.apply(plan, who="ada", allow_breaking=True)
    return plan


def step(plan: ApplyPlan, name: str) -> Step:
    """Return the step of a plan that a name has."""
    (found,) = [step for step in plan.steps if step.name == name]
    return found


def actions(plan: ApplyPlan) -> dict[str, str]:
    """Name to action of the steps that change something."""
    return {step.name: step.action for step in plan.changed}


def after(state: RegistryState, *definitions: Any, **options: Any) -> ApplyPlan:
    """Return the plan for definitions where a registry is in a state."""
    return diff(state, Definitions.of(*definitions), **options)
