import sys
from types import ModuleType
from typing import Any

import pytest

from skewless.definitions import (
    Entity,
    FeatureRef,
    FeatureService,
    OnDemandView,
    Request,
)
from skewless.definitions.repo import Definitions
from skewless.errors import DefinitionError, UnknownName
from skewless.types import Float64, Int64
from tests.definitions.forms import KEYS, ROWS, source, view

SEEN = view(mean=ROWS.x.mean("1h"), n=ROWS.count("1h"))
RATIO = OnDemandView("Ratio", features={"ratio": Request("amount", float) / SEEN["mean"]})
MODEL = FeatureService("model", [SEEN, RATIO])


def module(**contents: Any) -> ModuleType:
    made = ModuleType("shop_features")
    vars(made).update(contents)
    return made


def test_a_view_brings_its_source_and_its_entity() -> None:
    definitions = Definitions.of(SEEN)
    assert dict(definitions.views) == {"Seen": SEEN}
    assert dict(definitions.sources) == {"rows": SEEN.source}
    assert dict(definitions.entities) == {"card": KEYS}
    assert len(definitions) == 3


@pytest.mark.parametrize(
    "things",
    [
        (SEEN, RATIO, MODEL),
        ([SEEN, RATIO, MODEL],),
        ([SEEN, (RATIO, [MODEL])],),
        ({"a": SEEN, "b": RATIO, "c": MODEL},),
        (iter([MODEL, RATIO, SEEN]),),
        (Definitions.of(SEEN), [RATIO, MODEL]),
        (module(Seen=SEEN, ratio=RATIO, MODEL=MODEL, ROWS=ROWS, json=sys, number=3),),
    ],
)
def test_definitions_are_collected_from_anything(things: Any) -> None:
    definitions = Definitions.of(*things)
    assert definitions == Definitions.of(SEEN, RATIO, MODEL)
    assert {thing.name for thing in definitions} == {"card", "rows", "Seen", "Ratio", "model"}


def test_a_module_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shop_features", module(Seen=SEEN))
    assert list(Definitions.of("shop_features").views) == ["Seen"]


def test_what_is_not_a_definition_in_a_module_is_passed_over() -> None:
    filtered = ROWS.where(ROWS.flag)
    contents = module(Seen=SEEN, filtered=filtered, column=ROWS.x, ref=SEEN["n"], x=ROWS.x > 1)
    assert Definitions.of(contents) == Definitions.of(SEEN)


def test_an_unknown_module_is_told() -> None:
    with pytest.raises(DefinitionError, match=r"no module 'shop_nowhere.features'"):
        Definitions.of("shop_nowhere.features")


@pytest.mark.parametrize("thing", [3, SEEN["n"], Definitions, object()])
def test_what_is_no_definition_is_told(thing: Any) -> None:
    with pytest.raises(DefinitionError, match="not a definition"):
        Definitions.of(thing)


def test_one_definition_twice_is_one() -> None:
    again = view(mean=ROWS.x.mean("1h"), n=ROWS.count("1h"))
    assert Definitions.of(SEEN, again, SEEN) == Definitions.of(SEEN)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (SEEN, view(n=ROWS.count("2h")), "feature view 'Seen' that differ"),
        (KEYS, Entity("card", card_id=int), "entity 'card' that differ"),
        (SEEN, Entity("card", card_id=str, description="A card."), "entity 'card'"),
        (source(), source(closed="left"), "source 'rows' that differ"),
        (MODEL, FeatureService("model", ["Seen:n"]), "feature service 'model'"),
    ],
)
def test_two_of_one_name_that_differ_are_told(first: Any, second: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Definitions.of(first, second)


def test_two_of_one_name_are_told_with_their_modules() -> None:
    one, two = module(Seen=SEEN), module(Seen=view(n=ROWS.count("2h")))
    one.__name__, two.__name__ = "shop.spend", "shop.fraud"
    with pytest.raises(DefinitionError, match=r"Where: shop.fraud and shop.spend"):
        Definitions.of(one, two)


def test_a_view_and_an_on_demand_view_share_their_names() -> None:
    with pytest.raises(DefinitionError, match="both a feature view and an on-demand view"):
        Definitions.of(SEEN, OnDemandView("Seen", features={"x": Request("amount", float) + 1}))


def test_definitions_do_not_change() -> None:
    definitions = Definitions.of(SEEN)
    with pytest.raises(TypeError, match="item assignment"):
        definitions.views["Other"] = SEEN  # type: ignore[index]
    with pytest.raises(AttributeError):
        definitions.views = {}  # type: ignore[misc]


# ----------------------------------------------------------------------------------- references


def test_a_service_of_an_unknown_feature_is_told_with_the_nearest() -> None:
    service = FeatureService("model", ["Seen:meen"])
    message = r"view 'Seen', which feature service 'model' uses, has no feature 'meen'.*'mean'"
    with pytest.raises(UnknownName, match=message):
        Definitions.of(SEEN, service)


def test_an_on_demand_view_of_an_unknown_feature_is_told() -> None:
    wrong = OnDemandView("Ratio", features={"x": FeatureRef("Seen", "meen", Float64) * 2})
    with pytest.raises(UnknownName, match=r"on-demand view 'Ratio' uses.*Did you mean 'mean'"):
        Definitions.of(SEEN, wrong)


def test_an_on_demand_view_with_another_type_is_told() -> None:
    wrong = OnDemandView("Ratio", features={"x": FeatureRef("Seen", "mean", Int64) * 2})
    with pytest.raises(DefinitionError, match=r"Seen:mean with another type.*Int64.*Float64"):
        Definitions.of(SEEN, wrong)


def test_references_to_other_views_wait_for_the_registry() -> None:
    definitions = Definitions.of(FeatureService("model", ["Other:x", "Seen@v9:gone"]), SEEN)
    with pytest.raises(UnknownName, match=r"feature service 'model' uses, has no view 'Other'"):
        definitions.check_complete()


def test_a_named_version_may_have_features_that_are_gone() -> None:
    Definitions.of(FeatureService("model", ["Seen@v9:gone"]), SEEN).check_complete()


def test_on_demand_views_come_after_those_they_take_from() -> None:
    first = OnDemandView("A", features={"a": SEEN["mean"] + 1})
    second = OnDemandView("B", features={"b": first["a"] + 1})
    third = OnDemandView("C", features={"c": second["b"] + first["a"]})
    assert list(Definitions.of(third, second, first, SEEN).on_demand) == ["A", "B", "C"]


def test_on_demand_views_in_a_circle_are_told() -> None:
    first = OnDemandView("A", features={"x": FeatureRef("B", "x", Float64) + 1})
    second = OnDemandView("B", features={"x": FeatureRef("A", "x", Float64) + 1})
    with pytest.raises(DefinitionError, match="A -> B -> A"):
        Definitions.of(first, second)


def test_definitions_print_their_names() -> None:
    assert repr(Definitions.of(SEEN)) == "Definitions(entities: card; sources: rows; views: Seen)"
    assert repr(Definitions.of()) == "Definitions(none)"
