"""The conformance suite of engines: the bits of the reference engine, from yours too.

    pytest.register_assert_rewrite("skewless.testing")     # before the import: readable failures
    from skewless.testing.engine import EngineSuite

    class TestMyEngine(EngineSuite):
        @pytest.fixture
        def engine(self):
            with MyEngine() as engine:
                yield engine

The histories are small and nasty; `engine_cases` says what is in them. Every value is compared bit
by bit with that of `skewless.engines.reference`, which computes one value at a time.
"""

# ruff: noqa: D102 - the names of the tests say it

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from skewless.definitions import Entity, FeatureView, OnDemandView, Request, on_demand
from skewless.definitions.checks import Check
from skewless.definitions.repo import Definitions
from skewless.engines.base import Engine, Retrieved
from skewless.engines.reference import view_values
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.retrieval import plan_retrieval, steps_by_source
from skewless.plan.selection import select
from skewless.testing.engine_cases import CARD, SHOP, Case, case_of, source_of, spine_of, view_of
from skewless.types import python_values


class EngineSuite:
    """Inherit it and say how to open the engine.

    Attributes:
        seeds: of the random cases; more find more.
    """

    seeds: ClassVar[Sequence[int]] = (1, 2, 3)

    @pytest.fixture
    def engine(self) -> Engine:
        """Override: return the engine, open."""
        pytest.fail(f"{type(self).__name__} must override the fixture engine")

    # ---------------------------------------------------------------------------------- the bits

    @pytest.mark.parametrize("as_of", ["known", "event_time"])
    def test_aggregations_over_windows_have_the_bits_of_the_reference(
        self, engine: Engine, tmp_path: Path, as_of: str
    ) -> None:
        for seed in self.seeds:
            source = source_of(tmp_path)
            case = case_of(source, tmp_path, seed)
            view = view_of("View", CARD, source, seed)
            check(engine, [view], [case], spine_of(seed), as_of)

    @pytest.mark.parametrize("settled", [False, True])
    def test_corrections_that_change_the_entity_and_deletions_count_from_when_they_are_known(
        self, engine: Engine, tmp_path: Path, settled: bool
    ) -> None:
        for seed in self.seeds:
            source = source_of(tmp_path, row_id="id")
            case = case_of(source, tmp_path, seed, settled=settled)
            view = view_of("View", CARD, source, seed)
            check(engine, [view], [case], spine_of(seed), "known")

    def test_a_row_id_of_two_columns_that_is_null_in_part_corrects_nothing(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        source = source_of(tmp_path, row_id=("id", "word"))
        case = case_of(source, tmp_path, 5)
        check(engine, [view_of("View", CARD, source, 5)], [case], spine_of(5), "known")

    def test_a_moment_does_not_count_itself_where_windows_are_closed_on_the_left(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        source = source_of(tmp_path, closed="left")
        case = case_of(source, tmp_path, 6)
        views = [
            view_of("Left", CARD, source, 6),
            view_of("Right", CARD, source, 6, closed="right"),
        ]
        check(engine, views, [case], spine_of(6), "known")

    def test_values_by_text_of_the_row(self, engine: Engine, tmp_path: Path) -> None:
        source = source_of(tmp_path)
        case = case_of(source, tmp_path, 7)
        check(engine, [view_of("By", CARD, source, 7, by=True)], [case], spine_of(7), "known")

    def test_a_filter_of_the_view_and_a_delay(self, engine: Engine, tmp_path: Path) -> None:
        source = source_of(tmp_path, known_time=None, delay="4us")
        case = case_of(source, tmp_path, 8)
        view = view_of("View", CARD, source, 8, where=source.flag)
        check(engine, [view], [case], spine_of(8), "known")

    def test_checks_that_set_rows_aside_and_alter_values(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        checks = [
            Check.in_set("word", ["a", "b"], action="quarantine"),
            Check.not_null("x", action="impute", value=0.5),
            Check.between("x", -1.0, 1e9, action="clip"),
            Check.between("n", 0, 3, action="impute", value=1),
        ]
        for row_id in (None, "id"):
            source = source_of(tmp_path, row_id=row_id, checks=checks)
            case = case_of(source, tmp_path, 19)
            view = view_of("View", CARD, source, 19, where=source.flag)
            check(engine, [view], [case], spine_of(19), "known")

    def test_two_entities_and_two_sources_beside_each_other(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        rows, others = source_of(tmp_path), source_of(tmp_path, name="others", row_id="id")
        cases = [case_of(rows, tmp_path, 9), case_of(others, tmp_path, 10)]
        both = Entity("both", card_id=str, shop_id=int)
        views = [
            view_of("Card", CARD, rows, 9, count=6),
            view_of("Shop", SHOP, rows, 10, count=6),
            view_of("Both", both, others, 11, count=6),
            view_of("OtherCard", CARD, others, 12, count=6),
        ]
        check(engine, views, cases, spine_of(9), "known")

    # ------------------------------------------------------------------------- on demand, and edges

    def test_on_demand_features_see_features_request_fields_and_the_moment(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        source = source_of(tmp_path)
        case = case_of(source, tmp_path, 13)
        view = view_of("View", CARD, source, 13, count=2)

        @on_demand(
            inputs={"rows": view["rows"], "limit": Request("limit", float)},
            returns={"share": float},
        )
        def shares(rows: Any, limit: Any) -> dict[str, Any]:
            return {"share": rows / limit}

        ratio = OnDemandView("Ratio", features={"twice": view["total"] * Request("limit", float)})
        spine = [row | {"limit": 0.5 + number} for number, row in enumerate(spine_of(13))]
        found = retrieved(engine, [view, shares, ratio], [case], spine, "known").columns
        counts, totals = (python_values(found[name]) for name in ("rows", "total"))
        expected = [c / row["limit"] for c, row in zip(counts, spine, strict=True)]
        assert python_values(found["share"]) == expected
        expected = [t * row["limit"] for t, row in zip(totals, spine, strict=True)]
        assert bits(python_values(found["twice"])) == bits(expected)

    def test_join_keys_under_another_name_and_bound_ones(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        source = source_of(tmp_path)
        case = case_of(source, tmp_path, 14)
        both = Entity("both", card_id=str, shop_id=int)
        view = view_of("View", both, source, 14, count=4)
        spine = spine_of(14)
        plain = retrieved(engine, [view], [case], [row | {"shop_id": 1} for row in spine], "known")
        bound = view.at(shop_id=1).of(card_id="payer")
        renamed = [{"payer": row["card_id"], "t": row["t"]} for row in spine]
        asked = retrieved(engine, [bound], [case], renamed, "known")
        assert lists(plain) == lists(asked)

    def test_an_entity_without_keys(self, engine: Engine, tmp_path: Path) -> None:
        source = source_of(tmp_path, row_id="id")
        case = case_of(source, tmp_path, 17)
        rows = FeatureView(
            "Rows", entity=Entity("site"), source=source, features={"rows": source.count("1d")}
        )
        view = view_of("View", Entity("site"), source, 17, count=6)
        check(engine, [view, rows], [case], spine_of(17), "known")
        check(engine, [view], [case], spine_of(17), "event_time")
        mixed = view_of("Cards", CARD, source, 18, count=2)
        check(engine, [view, mixed], [case], spine_of(17), "known")

    def test_no_rows_and_no_spine(self, engine: Engine, tmp_path: Path) -> None:
        source = source_of(tmp_path)
        case = case_of(source, tmp_path, 15)
        view = view_of("View", CARD, source, 15)
        nobody: list[dict[str, Any]] = [{"card_id": "nobody", "t": 5}, {"card_id": None, "t": 5}]
        check(engine, [view], [case], nobody, "known")
        assert lists(retrieved(engine, [view], [case], [], "known")) == {
            name: [] for name in view.features
        }

    def test_running_again_gives_the_same(self, engine: Engine, tmp_path: Path) -> None:
        source = source_of(tmp_path, row_id="id")
        case = case_of(source, tmp_path, 16)
        view = view_of("View", CARD, source, 16, count=6)
        first, second = (
            lists(retrieved(engine, [view], [case], spine_of(16), "known")) for _ in range(2)
        )
        assert first == second


# ---------------------------------------------------------------------------------------- comparing


def retrieved(
    engine: Engine,
    views: Sequence[FeatureView | OnDemandView],
    cases: Sequence[Case],
    spine: Sequence[Mapping[str, Any]],
    as_of: str,
) -> Retrieved:
    """Return what an engine makes of views, histories and a spine."""
    plan = diff(RegistryState(), Definitions.of(*views))
    full_names = len(views) > 1 and all(isinstance(view, FeatureView) for view in views)
    selection = select(RegistryState(1, tuple(plan.writes)), list(views), full_names=full_names)
    wanted = plan_retrieval(selection, timestamp="t", as_of=as_of)
    types = selection.join_keys | {request.name: request.dtype for request in selection.requests}
    columns = {
        name: pa.array([row[name] for row in spine], dtype.arrow()) for name, dtype in types.items()
    }
    columns |= selection.constant_columns(len(spine))
    times = np.array([row["t"] for row in spine], np.int64)
    by_source = {case.source.name: case.history for case in cases}
    histories = {
        name: by_source[steps[0].source.name] for name, steps in steps_by_source(wanted).items()
    }
    return engine.retrieve(wanted, pa.table(columns), times, histories)


def check(
    engine: Engine,
    views: Sequence[FeatureView],
    cases: Sequence[Case],
    spine: Sequence[Mapping[str, Any]],
    as_of: str,
) -> None:
    """Compare an engine's values with the reference's, to the last bit."""
    found = lists(retrieved(engine, views, cases, spine, as_of))
    rows = {case.source.name: case.rows for case in cases}
    for view in views:
        expected: list[dict[str, Any]] = []
        for asked in spine:
            known = asked["t"] if as_of == "known" else None
            key = {name: asked[name] for name in view.entity.key_names}
            own = [] if None in key.values() else rows[view.source.name]
            answers = view_values(view, own, key, asked["t"], known)
            expected.append({name: bits(value) for name, (value, _) in answers.items()})
        for feature, expression in view.expressions.items():
            name = f"{view.name}__{feature}" if len(views) > 1 else feature
            wanted = [row[feature] for row in expected]
            assert found[name] == wanted, f"{name} = {expression!r}"


def lists(found: Retrieved) -> dict[str, list[Any]]:
    """Return the values of all columns, as their bits."""
    return {name: bits(python_values(column)) for name, column in found.columns.items()}


def bits(value: Any) -> Any:
    """Return a value that equals another one only where every bit does."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, Mapping):
        return bits(sorted(value.items()))
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else value
