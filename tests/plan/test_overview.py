"""An overview of a plan names and counts whatever the plan does."""

from typing import get_args

import pytest

from skewless.plan.apply.apply_plan import Action, ApplyPlan, Step

ACTIONS = [action for action in get_args(Action) if action != "unchanged"]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_its_names_and_is_counted_once(action: Action) -> None:
    text = ApplyPlan(4, (Step("source", "payments", action),)).explain(summary=True)
    assert text.endswith(":\n  source payments")
    _, totals = text.split("\n\n")[1].splitlines()
    assert [count for count in totals.split()[1:] if count != "-"] == ["1"]
