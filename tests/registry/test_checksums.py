"""Registries in SQL notice definitions that are not those that were applied."""

import pytest

from skewless.definitions.repo import Definitions
from skewless.errors import ConcurrentApply, CorruptData
from skewless.plan.apply.diff import diff
from skewless.registry.sql import SQLRegistry
from skewless.testing.shop import applied, fraud, spend

DAMAGES = (
    "UPDATE definitions SET body = replace(body, 'mean', 'mead') WHERE name = 'Spend'",
    "UPDATE definitions SET version = version + 4 WHERE name = 'Spend'",
    "UPDATE definitions SET is_current = 0 WHERE name = 'Spend'",
    "UPDATE definitions SET retired_at = 7 WHERE name = 'Spend'",
    "DELETE FROM definitions WHERE name = 'Spend'",
    "DELETE FROM definitions",
    "UPDATE projects SET revision = revision + 8",
    "DELETE FROM projects",
    "UPDATE deprecations SET reason = 'use Spend3'",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_definitions_that_are_not_those_that_were_applied_are_damage(
    registry: SQLRegistry, damage: str
) -> None:
    applied(registry, spend(), fraud("Spend:mean"))
    registry.deprecate("Spend", "use Spend2")
    registry.set_progress("job", 1)
    plan = diff(registry.state(), Definitions.of(spend("14d")))
    with registry._transaction(write=True) as run:
        assert run is not None
        run(damage)
    for verb in (
        registry.state,
        registry.dump,
        lambda: registry.apply(plan),
        lambda: registry.retire("Spend", 1),
        lambda: registry.deprecate("Spend", ""),
    ):
        with pytest.raises((CorruptData, ConcurrentApply)):
            verb()
    assert registry.get_progress("job") == 1


def test_a_value_that_is_not_what_was_kept_is_damage(registry: SQLRegistry) -> None:
    registry.set_progress("job", {"done": [1, 2]})
    assert registry.progress() == {"job": {"done": [1, 2]}}
    for wrong in ("'1', '3'", "'\"done\"', 'done'"):
        with registry._writing() as run:
            run(f"UPDATE progress SET value = replace(value, {wrong})")
        for verb in (registry.progress, lambda: registry.get_progress("job")):
            with pytest.raises(CorruptData):
                verb()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM facts",
        "UPDATE facts SET name = 'forma4' WHERE name = 'format'",
        "UPDATE facts SET value = -3 WHERE name = 'format'",
    ],
)
def test_a_registry_that_does_not_say_its_format_is_damaged(
    registry: SQLRegistry, damage: str
) -> None:
    applied(registry, spend())
    with registry._transaction(write=True) as run:
        assert run is not None
        run(damage)
    for verb in (registry.state, lambda: registry.set_progress("job", 1)):
        with pytest.raises(CorruptData, match="of which format"):
            verb()
