"""Classes of personal data follow columns to all that is made of them, until somebody ends that."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.definitions.repo import Definitions
from skewless.drift.profiles import profile_training
from skewless.errors import DefinitionError
from skewless.lineage.graph import defined_edges
from skewless.lineage.personal import Personal, personal
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import RegistryState

CARD = sl.Entity("card", card_id=sl.Column(str, pii="direct"))
SHOP = sl.Entity("shop", shop_id=str)
PAYS = sl.Source(
    "pays",
    schema={
        "pay_id": sl.Column(str, pii="quasi"),
        "card_id": str,
        "shop_id": str,
        "amount": sl.Column(float, pii="sensitive"),
        "ill": sl.Column(bool, phi=True),
        "deal": sl.Column(str, mnpi=True),
        "price": float,
    },
    event_time="at",
    row_id="pay_id",
)


def of_view(features: dict, entity: sl.Entity = CARD, **options: object) -> sl.FeatureView:
    return sl.FeatureView("Spend", entity=entity, source=PAYS, features=features, **options)


def state_of(*things: object) -> RegistryState:
    return RegistryState(records=diff(RegistryState(), Definitions.of(*things)).writes)


def classes_of(state: RegistryState) -> dict[str, set[str]]:
    return {name: set(found.classes) for name, found in personal(state).items()}


@pytest.mark.parametrize(
    ("feature", "classes"),
    [
        (PAYS.amount.latest(), {"sensitive"}),
        (PAYS.amount.mean("1h"), {"sensitive"}),
        ((PAYS.amount / PAYS.price).max("1h"), {"sensitive"}),
        (PAYS.where(PAYS.ill).price.sum("1h"), {"phi"}),
        (PAYS.where(PAYS.ill & (PAYS.amount > 5)).count("1h"), {"phi", "sensitive"}),
        (PAYS.deal.mode("1h"), {"mnpi"}),
        (PAYS.price.mean("1h") - PAYS.amount.mean("1h"), {"sensitive"}),
        (PAYS.pay_id.latest(), {"quasi"}),
        (PAYS.price.mean("1h"), set()),
        (PAYS.count("1h"), set()),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else repr(value)[:40],
)
def test_a_feature_is_what_its_columns_are(feature: object, classes: set[str]) -> None:
    found = classes_of(state_of(of_view({"it": feature})))
    assert found.get("Spend@v1:it", set()) == classes


def test_the_key_one_asks_by_says_nothing_but_the_key_of_another_entity_does() -> None:
    of_card = of_view({"pays": PAYS.count("1h")})
    of_shop = sl.FeatureView("Shops", entity=SHOP, source=PAYS, features={
        "last_card": PAYS.card_id.latest(), "pays": PAYS.count("1h"),
    })  # fmt: skip
    assert classes_of(state_of(of_card, of_shop)) == {"Shops@v1:last_card": {"direct"}}


def test_a_filter_of_the_view_counts_too() -> None:
    view = of_view({"price": PAYS.price.sum("1h")}, where=PAYS.ill)
    assert classes_of(state_of(view)) == {"Spend@v1:price": {"phi"}}


def test_on_demand_features_and_values_of_views_carry_it_on() -> None:
    view = of_view({"total": PAYS.amount.sum("1h"), "price": PAYS.price.sum("1h")})
    asked = sl.Request("asked", float)
    ratio = sl.OnDemandView("Ratio", features={
        "of_total": asked / view.total, "of_price": asked / view.price,
    })  # fmt: skip
    values = sl.Source.of(view)
    over = sl.FeatureView("Over", entity=CARD, source=values, features={
        "peak": values.total.max("1d"), "price_peak": values.price.max("1d"),
    })  # fmt: skip
    found = classes_of(state_of(view, ratio, over))
    assert set(found) == {"Spend@v1:total", "Ratio@v1:of_total", "Over@v1:peak"}
    assert list(found.values()) == [{"sensitive"}] * 3


def test_declassifying_ends_it_for_what_is_made_of_it_as_well() -> None:
    view = of_view({"total": PAYS.amount.sum("1h").declassify("agreed with the DPO, 2026-11")})
    asked = sl.Request("asked", float)
    ratio = sl.OnDemandView("Ratio", features={"of_total": asked / view.total})
    state = state_of(view, ratio)
    assert personal(state) == {}
    assert state.views["Spend", 1].words["total"].declassified == "agreed with the DPO, 2026-11"


def test_what_is_part_of_another_feature_is_not_declassified_there() -> None:
    part = PAYS.amount.sum("1h").declassify("of no matter")
    found = classes_of(state_of(of_view({"it": part / PAYS.price.sum("1h"), "part": part})))
    assert found == {"Spend@v1:it": {"sensitive"}}


def test_words_and_reason_stand_side_by_side_and_make_no_version() -> None:
    plain = of_view({"total": PAYS.amount.sum("1h")})
    said = of_view(
        {"total": PAYS.amount.sum("1h").declassify("agreed").describe("spent", unit="EUR")}
    )
    assert said.fingerprint == plain.fingerprint
    assert (said.words["total"].declassified, said.words["total"].unit) == ("agreed", "EUR")
    several = sl.FeatureView("Many", entity=CARD, source=PAYS, features={
        "mean": PAYS.amount.mean("1h", "2h").declassify("agreed"),
    })  # fmt: skip
    assert {words.declassified for words in several.words.values()} == {"agreed"}


@pytest.mark.parametrize("reason", ["", "  ", None, 5])
def test_there_has_to_be_a_reason(reason: object) -> None:
    with pytest.raises(DefinitionError, match="declassified"):
        PAYS.amount.sum("1h").declassify(reason)


def test_no_way_leads_from_a_personal_column_to_a_feature_that_is_none() -> None:
    """Over every kind of view there is: what is not marked depends on no column that is."""
    view = of_view({
        "a": PAYS.amount.sum("1h"), "b": PAYS.price.sum("1h"), "c": PAYS.where(PAYS.ill).count("1h"),
        "d": PAYS.price.mean("1h") + PAYS.price.max("2h"), "e": PAYS.deal.n_unique("1h"),
    })  # fmt: skip
    values = sl.Source.of(view)
    over = sl.FeatureView("Over", entity=CARD, source=values, features={
        name: values[name].latest() for name in "abcde"
    })  # fmt: skip
    state = state_of(view, over)
    marked = personal(state)
    columns = {f"pays.{name}" for name, words in PAYS.words.items()
               if words.pii or words.phi or words.mnpi}  # fmt: skip
    reach: dict[str, set[str]] = {}
    edges = [
        e
        for e in defined_edges(state)
        if e.how.subtype != "JOIN" and e.how.description != "row id: corrections"
    ]
    for _ in range(6):
        for edge in edges:
            found = reach.setdefault(edge.target.name, set())
            found |= reach.get(edge.source.name, set()) | ({edge.source.name} & columns)
    features = {f"{v}@v1:{f}" for v in ("Spend", "Over") for f in "abcde"}
    assert {name for name in features if reach.get(name)} == set(marked)
    assert all(reach[name] == set(found.columns) & columns for name, found in marked.items())


def test_search_and_profiles_know_it(tmp_path: Path) -> None:
    view = of_view({"deal": PAYS.deal.latest(), "amount": PAYS.amount.latest(),
                    "last": PAYS.pay_id.latest(), "shop": PAYS.shop_id.latest()})  # fmt: skip
    rows = [
        {"pay_id": "the marker", "card_id": "c1", "shop_id": "s1", "amount": 7.5, "ill": False,
         "deal": "x", "price": 1.0, "at": "2026-01-01T10:00:00Z"}
    ]  # fmt: skip
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view)
        fs.push("pays", rows, backdate=True)
        hits = {entry["name"]: entry["pii"] for entry in fs.search("pii:quasi")}
        assert hits == {"last": "quasi"}
        spine = [{"card_id": "c1", "at": "2026-01-01T11:00:00Z"}]
        made = fs.get_historical_features(spine, view, timestamp="at")
        assert made.to_dict()["last"] == ["the marker"]
        profiles, _ = profile_training(made, fs.runtime.state(), 0)
        shown = {each.of: str(each.to_dict()) for each in profiles}
        assert "s1" in shown["Spend@v1:shop"]
        assert "the marker" not in shown["Spend@v1:last"]
        fs.profile("Spend")
    kept = b"".join(
        file.read_bytes()
        for file in (tmp_path / ".skewless" / "ledger").rglob("*")
        if file.is_file()
    )
    assert b"Spend@v1:last" in kept
    assert b"the marker" not in kept


def test_the_strongest_class_is_named_first() -> None:
    assert Personal(frozenset({"quasi", "direct", "phi"})).pii == "direct"
    assert Personal(frozenset({"phi"})).pii is None
    assert Personal(frozenset({"phi"})).is_hidden
    assert not Personal(frozenset({"mnpi"})).is_hidden
