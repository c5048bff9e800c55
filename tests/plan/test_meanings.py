"""A column that means something else: a breaking change in both directions, or in none."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from skewless.definitions import FeatureService, Source
from skewless.definitions.source import Epoch
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import after, applied, spend

MEANINGS: dict[str, dict[str, Any]] = {
    "texts": {"event_time": "at"},
    "seconds": {"event_time": Epoch("at", "s")},
    "milliseconds": {"event_time": Epoch("at", "ms")},
    "microseconds": {"event_time": Epoch("at", "us")},
    "known": {"event_time": "at", "known_time": "known"},
    "known milliseconds": {"event_time": "at", "known_time": Epoch("known", "ms")},
    "known seconds": {"event_time": "at", "known_time": Epoch("known", "s")},
    "whole": {"event_time": "at", "schema": {"card_id": str, "amount": int, "country": str}},
}
"""Sources that take the same rows for something else."""


@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "unpinned"])
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(MEANINGS, 2)))
def test_a_column_of_another_meaning_breaks_in_both_directions_or_in_none(
    tmp_path: Path, one: str, other: str, pinned: bool
) -> None:
    def meant(name: str) -> list[Any]:
        view = spend(source=rows_of(**MEANINGS[name]))
        return [view, FeatureService("fraud", [view])] if pinned else [view]

    def breaking(first: str, then: str, *, back: bool) -> list[str]:
        with SQLiteRegistry(tmp_path / f"{first}-{then}-{back}.db") as registry:
            applied(registry, *meant(first))
            if back:
                applied(registry, *meant(then))
                first, then = then, first
            found = [each.what for each in after(registry.state(), *meant(then)).breaking]
            # A column more is no column of another meaning.
            return [each for each in found if "no longer has" not in each]

    for back in (False, True):
        there, here = breaking(one, other, back=back), breaking(other, one, back=back)
        assert bool(there) == bool(here), (there, here)
    assert bool(breaking(one, other, back=False)) == bool(breaking(one, other, back=True))


@pytest.mark.parametrize("units", list(itertools.permutations(("s", "ms", "us"), 2)))
@pytest.mark.parametrize("with_view", [True, False])
def test_another_unit_of_times_breaks_who_sends_them_whoever_reads(
    tmp_path: Path, units: tuple[str, str], with_view: bool
) -> None:
    def meant(unit: str) -> Any:
        source = rows_of(event_time=Epoch("at", unit))
        return spend(source=source) if with_view else source

    first, then = units
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        applied(registry, meant(first))
        (found,) = after(registry.state(), meant(then)).breaking
    assert found.what.startswith("changes the type of column 'at' from Timestamp in ")
    assert found.affects == (("Spend@v1",) if with_view else ())


def rows_of(**changes: Any) -> Source:
    schema = changes.pop("schema", {"card_id": str, "amount": float, "country": str})
    return Source("payments", schema=schema, **changes)
