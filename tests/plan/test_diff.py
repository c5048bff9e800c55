from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from skewless.clock import to_micros
from skewless.definitions import (
    Entity,
    FeatureRef,
    FeatureService,
    FeatureView,
    OnDemandView,
    on_demand,
)
from skewless.definitions.repo import Definitions
from skewless.definitions.tables import CSV, Parquet
from skewless.errors import DefinitionError, UnknownName
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import RegistryState
from skewless.registry.base import Registry
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import (
    actions,
    after,
    applied,
    card,
    fraud,
    payments,
    ratio,
    shop,
    spend,
    step,
)
from skewless.types import Float64

NOW = to_micros("2026-06-30T12:00:00Z")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with SQLiteRegistry(tmp_path / "registry.db") as made:
        yield made


@pytest.fixture
def state(registry: Registry) -> RegistryState:
    """The shop, applied once."""
    applied(registry, shop())
    return registry.state()


def breaks(plan: Any) -> list[str]:
    return [found.explain() for found in plan.breaking]


# ------------------------------------------------------------------------------------- versions


def test_everything_is_added_to_an_empty_registry() -> None:
    plan = diff(RegistryState(), shop(), removing=True)
    assert actions(plan) == dict.fromkeys(
        ["card", "payments", "Spend", "Payment", "fraud"], "added"
    )
    assert step(plan, "Spend").after == 1
    assert plan.breaking == ()


def test_what_was_applied_needs_no_change(state: RegistryState) -> None:
    plan = diff(state, shop(), removing=True)
    assert plan.is_empty
    assert plan.writes == ()
    assert str(plan) == "No changes: everything is as wanted (registry revision 1)."


def test_another_value_makes_a_new_version(state: RegistryState) -> None:
    plan = after(state, spend("14d"))
    spend_step = step(plan, "Spend")
    assert (spend_step.action, spend_step.before, spend_step.after) == ("changed values", 1, 2)
    assert spend_step.changes == (
        "~ mean: mean of payments.amount over sliding 7d -> "
        "mean of payments.amount over sliding 14d",
    )
    assert spend_step.services == ("fraud",)


def test_an_on_demand_view_follows_the_version_of_what_it_takes(state: RegistryState) -> None:
    plan = after(state, spend("14d"))
    assert actions(plan) == {"Spend": "changed values", "Payment": "changed values"}
    assert step(plan, "Payment").changes == ("takes: Spend@v1:mean -> Spend@v2:mean",)


def test_an_on_demand_view_of_a_named_version_stays(registry: Registry) -> None:
    mean = FeatureRef("Spend", "mean", Float64, version=1)
    applied(registry, spend(), OnDemandView("Payment", features={"twice": mean * 2}))
    plan = applied(registry, spend("14d"))
    assert actions(plan) == {"Spend": "changed values"}
    assert registry.state().view("Payment").refs[0].reference == "Spend@v1:mean"


def test_going_back_takes_the_old_version_again(registry: Registry) -> None:
    applied(registry, shop())
    applied(registry, shop("14d"))
    plan = applied(registry, shop())
    assert (step(plan, "Spend").before, step(plan, "Spend").after) == (2, 1)
    assert (step(plan, "Payment").before, step(plan, "Payment").after) == (2, 1)
    assert registry.state().current == {"Spend": 1, "Payment": 1}


def test_going_back_to_a_retired_version_makes_a_new_one(registry: Registry) -> None:
    applied(registry, spend())
    applied(registry, spend("14d"))
    registry.retire("Spend", 1)
    assert step(applied(registry, spend()), "Spend").after == 3


def test_a_view_removed_and_added_again_gets_a_new_number(registry: Registry) -> None:
    applied(registry, spend())
    applied(registry, removing=True)
    plan = applied(registry, spend())
    assert (step(plan, "Spend").action, step(plan, "Spend").after) == ("added", 2)
    assert "+ feature view Spend: v2" in str(plan)


def test_a_view_that_becomes_on_demand_is_a_new_version_of_its_name(registry: Registry) -> None:
    applied(registry, spend())
    other = FeatureView(
        "Other", entity=card(), source=payments(), features={"n": payments().count("1d")}
    )
    became = OnDemandView("Spend", features={"mean": other["n"] * 2.0})
    plan = applied(registry, other, became, removing=True)
    assert step(plan, "Spend").changes[0] == "it was a feature view"
    state = registry.state()
    assert (state.current["Spend"], list(state.on_demand)) == (2, [("Spend", 2)])
    assert list(state.views) == [("Spend", 1), ("Other", 1)]


@pytest.mark.parametrize(
    "labels",
    [
        {"owner": "grace"},
        {"description": "What a card spends."},
        {"tags": {"team": "risk"}},
        {"freshness": "5m"},
        {"deprecated": "use Spend2", "sunset": date(2030, 1, 1)},
    ],
)
def test_a_label_only_describes(state: RegistryState, labels: dict[str, Any]) -> None:
    plan = after(state, spend(**labels))
    assert actions(plan) == {"Spend": "described only"}
    assert (step(plan, "Spend").before, step(plan, "Spend").after) == (1, 1)
    assert step(plan, "Spend").services == ()


def test_a_label_is_kept_by_the_version(registry: Registry) -> None:
    applied(registry, spend())
    applied(registry, spend(owner="grace"))
    assert registry.state().view("Spend").labels["owner"] == "grace"


def test_another_order_of_features_is_described(state: RegistryState) -> None:
    rows = payments()
    features = {"count": rows.count("1d"), "mean": rows.amount.mean("7d")}
    assert actions(after(state, spend(features=features))) == {"Spend": "described only"}


def test_another_default_shows_in_the_plan(state: RegistryState) -> None:
    rows = payments()
    features = {"mean": rows.amount.mean("7d", default=0.0), "count": rows.count("1d")}
    assert step(after(state, spend(features=features)), "Spend").changes == (
        "~ mean: mean of payments.amount over sliding 7d -> "
        "mean of payments.amount over sliding 7d default 0.0",
    )


def test_a_default_inside_an_expression_shows_in_the_plan(registry: Registry) -> None:
    rows = payments()
    applied(registry, spend(features={"x": rows.amount.mean("7d") * 2}))
    new = spend(features={"x": rows.amount.mean("7d", default=1.0) * 2})
    assert "1.0" in step(after(registry.state(), new), "Spend").changes[0]


# -------------------------------------------------------------------------- sources and entities


def test_another_table_is_only_storage(registry: Registry) -> None:
    applied(registry, spend(source=payments(table=Parquet("a/"))))
    plan = applied(registry, spend(source=payments(table=CSV("b.csv"))))
    assert actions(plan) == {"payments": "changed storage"}
    assert step(plan, "payments").changes == (
        "table.kind: 'parquet' -> 'csv'",
        "table.path: 'a/' -> 'b.csv'",
    )


def test_older_versions_read_from_the_new_table(registry: Registry) -> None:
    applied(registry, spend(source=payments(table=Parquet("a/"))))
    applied(registry, spend("14d", source=payments(table=Parquet("a/"))))
    applied(registry, spend("14d", source=payments(table=Parquet("b/"))))
    for version in (1, 2):
        source = registry.state().views["Spend", version].source
        assert source.table == Parquet("b/")


def test_another_delay_makes_new_versions_and_old_ones_keep_theirs(registry: Registry) -> None:
    applied(registry, spend())
    plan = applied(registry, spend(source=payments(delay="5m")))
    assert actions(plan) == {"payments": "changed values", "Spend": "changed values"}
    assert step(plan, "Spend").changes == ("source.delay: 0s -> 5m",)
    views = registry.state().views
    assert [views["Spend", n].source.delay for n in (1, 2)] == [0, 300_000_000]


def test_a_description_of_a_source_only_describes(state: RegistryState) -> None:
    plan = after(state, spend(source=payments(description="Card payments.")))
    assert actions(plan) == {"payments": "described only"}


def test_changed_join_keys_break_the_views_over_them(state: RegistryState) -> None:
    schema = {"card_id": str, "amount": float, "country": str}
    entity = card(card_id=str, country=str)
    plan = after(state, spend(entity=entity, source=payments(schema=schema)))
    assert breaks(plan) == [
        "entity card changes its join keys from (card_id String) to (card_id String, "
        "country String). Affects feature view Spend."
    ]


def test_another_order_of_join_keys_breaks_too(registry: Registry) -> None:
    applied(registry, spend(entity=card(card_id=str, country=str)))
    plan = after(registry.state(), card(country=str, card_id=str))
    assert actions(plan) == {"card": "changed values"}
    assert len(plan.breaking) == 1


def test_a_removed_column_breaks_the_views_that_read_it(state: RegistryState) -> None:
    plan = after(state, payments(schema={"card_id": str, "country": str}))
    assert breaks(plan) == ["source payments no longer has the column 'amount'. Affects Spend@v1."]


def test_a_removed_column_that_nobody_reads_breaks_nothing(state: RegistryState) -> None:
    assert after(state, payments(schema={"card_id": str, "amount": float})).breaking == ()


def test_a_column_in_a_filter_is_in_use(registry: Registry) -> None:
    rows = payments()
    features = {"n": rows.where(rows.country == "CH").count("1d")}
    applied(registry, spend(features=features))
    plan = after(registry.state(), payments(schema={"card_id": str, "amount": float}))
    assert breaks(plan) == ["source payments no longer has the column 'country'. Affects Spend@v1."]


def test_a_column_of_another_type_breaks_its_readers(state: RegistryState) -> None:
    plan = after(state, payments(schema={"card_id": str, "amount": int, "country": str}))
    assert breaks(plan) == [
        "source payments changes the type of column 'amount' from Float64 to Int64. "
        "Affects Spend@v1."
    ]


def test_a_column_only_a_superseded_unpinned_version_read_breaks_nothing(
    registry: Registry,
) -> None:
    applied(registry, spend())
    rows = payments(schema={"card_id": str, "country": str})
    plan = after(registry.state(), spend(source=rows, features={"count": rows.count("1d")}))
    assert plan.breaking == ()


# ------------------------------------------------------------------------------------- services


def test_an_unchanged_service_keeps_its_versions(registry: Registry) -> None:
    applied(registry, shop())
    plan = applied(registry, shop("14d"))
    assert step(plan, "fraud").action == "unchanged"
    assert plan.notes == (
        "feature service fraud stays on Spend@v1, Payment@v1; "
        "re-apply with repin to move to Spend@v2, Payment@v2",
    )
    assert registry.state().pins["fraud"] == ("Spend@v1:mean", "Payment@v1:ratio")


@pytest.mark.parametrize("repin", [True, ["fraud"], "fraud"])
def test_repin_moves_a_service(registry: Registry, repin: Any) -> None:
    applied(registry, shop())
    applied(registry, shop("14d"))
    plan = applied(registry, shop("14d"), repin=repin)
    assert step(plan, "fraud").changes == (
        "~ Spend@v1:mean -> Spend@v2:mean",
        "~ Payment@v1:ratio -> Payment@v2:ratio",
    )
    assert registry.state().pins["fraud"] == ("Spend@v2:mean", "Payment@v2:ratio")


def test_repin_moves_a_service_that_is_not_in_the_plan(registry: Registry) -> None:
    applied(registry, shop())
    plan = applied(registry, spend("14d"), repin=True)
    assert actions(plan)["fraud"] == "changed values"


def test_repin_of_an_unknown_service_names_the_known() -> None:
    with pytest.raises(UnknownName, match=r"'frod'.*Did you mean 'fraud'"):
        diff(RegistryState(), shop(), repin=["frod"])


def test_a_service_with_another_list_keeps_the_pins_it_has(registry: Registry) -> None:
    """What is added comes from the version that it has of the view already."""
    applied(registry, shop())
    applied(registry, shop("14d"))
    plan = applied(registry, fraud("Spend:mean", "Payment:ratio", "Spend:count"))
    assert step(plan, "fraud").changes == ("+ Spend@v1:count",)
    assert registry.state().pins["fraud"][1:] == ("Payment@v1:ratio", "Spend@v1:count")


def grown(window: str = "7d", **more: Any) -> FeatureView:
    """The view with another window, and maybe more features."""
    means = {"mean": payments().amount.mean(window), "count": payments().count("1d")}
    return spend(features=means | more)


def test_a_service_of_a_whole_view_keeps_its_features_until_it_is_pinned_anew(
    registry: Registry,
) -> None:
    first = grown()
    applied(registry, first, FeatureService("model", [first]))
    before = registry.state().pins["model"]
    second = grown("14d", biggest=payments().amount.max("1d"))
    for _ in range(2):  # nor the next time
        plan = applied(registry, second, FeatureService("model", [second]))
        assert step(plan, "model").action == "unchanged"
        assert registry.state().pins["model"] == before
        assert "model stays on Spend@v1" in plan.notes[0]
    less = spend(features={"count": payments().count("1d")})
    plan = after(registry.state(), less, FeatureService("model", [less]))
    assert step(plan, "model").action == "unchanged"
    applied(registry, second, FeatureService("model", [second]), repin=["model"])
    assert registry.state().pins["model"] == (
        "Spend@v2:mean", "Spend@v2:count", "Spend@v2:biggest",
    )  # fmt: skip


def test_a_feature_that_the_pinned_version_lacks_comes_from_the_current_one(
    registry: Registry,
) -> None:
    first, second = grown(), grown("14d", biggest=payments().amount.max("1d"))
    applied(registry, first, FeatureService("model", ["Spend:mean"]))
    applied(registry, second, FeatureService("model", ["Spend:mean", "Spend:biggest"]))
    assert registry.state().pins["model"] == ("Spend@v1:mean", "Spend@v2:biggest")


def test_a_named_version_in_a_service_stays_where_it_is(registry: Registry) -> None:
    applied(registry, spend())
    applied(registry, spend("14d"))
    applied(registry, fraud("Spend@v1:mean", "Spend:count"))
    state = registry.state()
    assert state.pins["fraud"] == ("Spend@v1:mean", "Spend@v2:count")
    assert after(state, spend("14d")).notes == ()


def test_a_service_that_loses_a_feature_breaks(state: RegistryState) -> None:
    plan = after(state, fraud("Payment:ratio"))
    assert breaks(plan) == ["feature service fraud no longer has Spend:mean."]


def test_a_service_that_gains_a_feature_breaks_nothing(state: RegistryState) -> None:
    plan = after(state, fraud("Spend:mean", "Payment:ratio", "Spend:count"))
    assert plan.breaking == ()


def test_a_removed_feature_breaks_the_services_and_views_that_use_it(state: RegistryState) -> None:
    plan = after(state, spend(features={"count": payments().count("1d")}))
    assert breaks(plan) == [
        "feature view Spend no longer has the feature 'mean'. "
        "Affects feature service fraud, on-demand view Payment."
    ]


def test_a_feature_nobody_uses_may_go(state: RegistryState) -> None:
    assert after(state, spend(features={"mean": payments().amount.mean("7d")})).breaking == ()


def test_a_feature_of_another_type_breaks_its_users(state: RegistryState) -> None:
    plan = after(state, spend(features={"mean": payments().amount.count("7d")}))
    assert breaks(plan) == [
        "feature view Spend changes the type of 'mean' from Float64 to Int64. "
        "Affects feature service fraud, on-demand view Payment."
    ]


def test_the_users_of_a_changed_feature_stay_on_the_old_version(registry: Registry) -> None:
    applied(registry, shop())
    applied(registry, spend(features={"mean": payments().amount.count("7d")}))
    state = registry.state()
    assert state.current == {"Spend": 2, "Payment": 1}
    assert state.view("Payment").refs[0].reference == "Spend@v1:mean"


def test_a_removed_service_breaks(state: RegistryState) -> None:
    view = spend()
    plan = after(state, view, ratio(view), removing=True)
    assert actions(plan) == {"fraud": "removed"}
    assert breaks(plan) == ["feature service fraud is removed: nothing can ask for it any more."]


# ------------------------------------------------------------------------------------- removing


def test_single_objects_leave_the_others_alone(state: RegistryState) -> None:
    plan = after(state, spend())
    assert plan.is_empty
    assert [step.name for step in plan.steps] == ["card", "payments", "Spend"]


def test_what_the_repo_lacks_is_removed(registry: Registry) -> None:
    applied(registry, shop())
    plan = applied(registry, removing=True)
    assert set(actions(plan).values()) == {"removed"}
    state = registry.state()
    assert (dict(state.views), dict(state.services), dict(state.sources)) == ({}, {}, {})
    assert sorted(state.retired) == [("Payment", 1), ("Spend", 1)]


def test_a_source_stays_while_an_older_version_serves_from_it(registry: Registry) -> None:
    applied(registry, spend())
    other = Entity("shop", country=str)
    rows = payments(description="")
    moved = FeatureView("Spend", entity=other, source=rows, features={"count": rows.count("1d")})
    plan = applied(registry, moved, removing=True)
    assert plan.notes == ("entity card is kept: an older version of Spend serves from it",)
    registry.retire("Spend", 1)
    assert actions(after(registry.state(), moved, removing=True)) == {"card": "removed"}


def test_a_service_of_a_removed_view_is_an_error(state: RegistryState) -> None:
    with pytest.raises(UnknownName, match="'Spend'"):
        after(state, fraud("Spend:mean"), removing=True)


# --------------------------------------------------------------------------------------- errors


def test_a_service_may_take_from_a_view_that_was_applied_before(state: RegistryState) -> None:
    plan = after(state, fraud("Spend:count", "Spend:mean", "Payment:ratio"))
    assert actions(plan) == {"fraud": "changed values"}


def test_an_unknown_view_in_a_service_is_told_with_the_nearest(state: RegistryState) -> None:
    with pytest.raises(UnknownName, match=r"'Spent'.*Did you mean 'Spend'"):
        after(state, fraud("Spent:mean"))


def test_an_unknown_feature_in_a_service_is_told_with_the_nearest(state: RegistryState) -> None:
    with pytest.raises(UnknownName, match=r"'Spend', which feature service 'fraud' uses.*'mean'"):
        after(state, fraud("Spend:meen"))


def test_an_unknown_version_in_a_service_is_told_with_the_known(state: RegistryState) -> None:
    with pytest.raises(UnknownName, match=r"no version 'v7'. Versions: v1"):
        after(state, fraud("Spend@v7:mean"))


def test_an_on_demand_view_of_another_type_is_refused(state: RegistryState) -> None:
    wrong = FeatureRef("Spend", "count", Float64)
    with pytest.raises(DefinitionError, match="another type"):
        after(state, OnDemandView("Payment", features={"x": wrong * 2.0}))


# -------------------------------------------------------------------- on-demand views of functions


def function_view(body: str, name: str = "scaled") -> OnDemandView:
    code = {"path": f"features:{name}", "hash": body}
    return OnDemandView(
        "Scaled",
        inputs={"mean": FeatureRef("Spend", "mean", Float64)},
        returns={"scaled": float},
        function=lambda mean: mean,
        code=code,
    )


def test_other_code_of_a_function_makes_a_new_version(registry: Registry) -> None:
    applied(registry, spend(), function_view("1111"))
    plan = applied(registry, function_view("2222"))
    assert step(plan, "Scaled").changes == ("the code of its function",)
    assert registry.state().current["Scaled"] == 2


def test_a_function_that_moved_is_only_storage(registry: Registry) -> None:
    applied(registry, spend(), function_view("1111"))
    plan = applied(registry, function_view("1111", name="scaled_by"))
    assert actions(plan) == {"Scaled": "changed storage"}
    assert registry.state().view("Scaled").code["path"] == "features:scaled_by"


def test_a_function_over_features_is_planned_with_its_pins(registry: Registry) -> None:
    view = spend()

    @on_demand(inputs={"mean": view["mean"]}, returns={"half": float})
    def Half(mean: Any) -> Any:
        return {"half": mean / 2}

    applied(registry, view, Half)
    assert registry.state().view("Half").inputs["mean"].reference == "Spend@v1:mean"


# --------------------------------------------------------------------------- warnings and output


def test_a_past_sunset_is_a_warning_that_names_who_still_uses_it(registry: Registry) -> None:
    old = spend(deprecated="use Spend2", sunset=date(2026, 6, 29))
    applied(registry, shop())
    plan = after(registry.state(), old, now=NOW)
    expected = "Spend has outlived its sunset of 2026-06-29 (use Spend2); still used by fraud"
    assert plan.warnings == (expected,)


def test_a_sunset_today_is_not_past(registry: Registry) -> None:
    applied(registry, spend(deprecated="use Spend2", sunset=date(2026, 6, 30)))
    assert after(registry.state(), now=NOW).warnings == ()


def test_a_past_sunset_given_to_the_registry_is_a_warning(registry: Registry) -> None:
    applied(registry, spend())
    registry.deprecate("Spend:mean", "wrong currency", sunset=date(2026, 1, 1))
    assert after(registry.state(), now=NOW).warnings == (
        "Spend:mean has outlived its sunset of 2026-01-01 (wrong currency)",
    )


def test_a_plan_prints_like_a_letter(registry: Registry) -> None:
    applied(registry, shop())
    plan = after(registry.state(), spend(features={"mean": payments().amount.count("7d")}))
    assert str(plan).splitlines() == [
        "Plan: 0 to add, 1 to change, 0 to remove (registry revision 1).",
        "",
        "  ~ feature view Spend: changed values, v1 -> v2 (v1 serves on until it is retired)",
        "      ~ mean: mean of payments.amount over sliding 7d -> "
        "count of payments.amount over sliding 7d",
        "      - count: count of payments over sliding 1d",
        "      felt by feature service fraud",
        "",
        "Breaking:",
        "  ! feature view Spend changes the type of 'mean' from Float64 to Int64. "
        "Affects feature service fraud, on-demand view Payment.",
        "",
        "Notes:",
        "  feature service fraud stays on Spend@v1; re-apply with repin to move to Spend@v2",
    ]


def test_a_plan_is_plain_data_for_machines(state: RegistryState) -> None:
    data = after(state, spend("14d")).to_dict()
    assert data["base_revision"] == 1
    assert data["is_empty"] is False
    spend_step = next(step for step in data["steps"] if step["name"] == "Spend")
    assert (spend_step["action"], spend_step["after"]) == ("changed values", 2)


def test_a_diff_leaves_what_it_compares_untouched(registry: Registry) -> None:
    applied(registry, shop())
    wanted = shop("14d")
    before = (registry.state().records, wanted.to_dict())
    assert diff(registry.state(), wanted) == diff(registry.state(), wanted)
    assert (registry.state().records, Definitions.to_dict(wanted)) == before
