"""What was made of the definitions that a plan changes: training sets and models, for its notes."""

from __future__ import annotations

from skewless.lineage.columns import Node, column_node, feature_node
from skewless.lineage.graph import Graph
from skewless.plan.apply.apply_plan import ApplyPlan, Step
from skewless.plan.apply.registry_state import VIEW_KINDS, RegistryState

_FELT = ("changed values", "removed")
_FAR = 1_000


def impact_notes(state: RegistryState, graph: Graph, plan: ApplyPlan) -> tuple[str, ...]:
    """Return a line for each view or source that a plan changes and of which something was made.

    Feature services that feel a step stand beside it in the plan already.

    Args:
        state: of the registry.
        graph: the lineage of the repo.
        plan: what is about to be applied.
    """
    return tuple(
        f"{step.kind} {step.name}: {said}"
        for step in plan.changed
        if step.action in _FELT and (said := _said(graph, _changed(state, step)))
    )


def _changed(state: RegistryState, step: Step) -> list[Node]:
    """Return the nodes that a step changes or removes."""
    if step.kind in VIEW_KINDS and step.before is not None:
        view = state.view(step.name, step.before)
        return [feature_node(step.name, step.before, feature) for feature in view.features]
    if step.kind == "source" and step.name in state.sources:
        return [column_node(step.name, column) for column in state.sources[step.name].columns]
    return []


def _said(graph: Graph, nodes: list[Node]) -> str:
    below = graph.around("", nodes, up=0, down=_FAR)
    sets, models = below.of_kind("training set"), below.of_kind("model")
    if not sets:
        return ""
    several = "" if len(sets) == 1 else "s"
    said = f"{len(sets):,} training set{several} made of it, the newest {sets[-1]}"
    if models:
        said += f"; trained on these: {', '.join(sorted(models))}"
    return said
