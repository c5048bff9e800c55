"""Words on columns, join keys and features: read by people, outside every fingerprint."""

from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.definitions.words import Words
from skewless.errors import DefinitionError

WORDS: dict[str, Any] = {
    "unit": "EUR",
    "between": (0, 10_000),
    "nulls": False,
    "pii": "sensitive",
    "tags": {"domain": "fraud"},
}


def defined(amount: object, card: object = str, **words: Any) -> sl.FeatureView:
    source = sl.Source("pays", schema={"card_id": str, "amount": amount}, event_time="at")
    total = source.amount.sum("1h", "24h")
    return sl.FeatureView(
        "Spend",
        entity=sl.Entity("card", card_id=card),
        source=source,
        features={"total": total.describe("what was paid", **words) if words else total},
    )


def test_words_change_no_fingerprint() -> None:
    plain = defined(float)
    said = defined(
        sl.Column(float, "what was paid", **WORDS), sl.Column(str, pii="quasi"), unit="EUR"
    )
    assert plain.fingerprint == said.fingerprint
    assert said.words["total_1h"] == said.words["total_24h"] == Words("what was paid", "EUR")
    assert said.source.words["amount"].between == (0, 10_000)
    assert said.entity.words["card_id"].pii == "quasi"


def test_words_come_back_from_the_registry_and_make_no_version(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(defined(float))
        plan = fs.plan(defined(sl.Column(float, "what was paid", **WORDS), unit="EUR", owner="ada"))
        assert {step.name: step.action for step in plan.changed} == {
            "pays": "described only",
            "Spend": "described only",
        }
        text = str(plan)
        assert "amount.unit: none -> 'EUR'" in text
        assert "total_1h.description: none -> 'what was paid'" in text
        assert "{" not in text.replace("'domain'", "")
        fs.apply(plan)
        view = fs.views["Spend"]
        assert fs.runtime.state().current == {"Spend": 1}
        assert view.words["total_24h"].owner == "ada"
        assert fs.sources["pays"].words["amount"] == Words("what was paid", **WORDS)
        assert fs.plan(
            defined(sl.Column(float, "what was paid", **WORDS), unit="EUR", owner="ada")
        ).is_empty


def test_words_on_a_join_key_reach_the_views_of_the_entity_without_a_version(
    tmp_path: Path,
) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(defined(float))
        plan = fs.plan(defined(float, sl.Column(str, "number of the card", pii="direct")))
        assert [(step.name, step.action) for step in plan.changed] == [("card", "described only")]
        fs.apply(plan)
        assert fs.views["Spend"].entity.words["card_id"].pii == "direct"


def test_results_of_functions_and_expressions_on_demand_take_words() -> None:
    spend = defined(float)
    amount = sl.Request("amount", float)

    @sl.on_demand
    class Ratio:
        ratio = (amount / spend.total_1h).describe("against the last hour", unit="1")

    @sl.on_demand(inputs={"a": amount}, returns={"twice": sl.Column(float, "doubled", unit="EUR")})
    def Twice(a: Any) -> Any:
        return {"twice": a * 2}

    assert Ratio.words["ratio"].unit == "1"
    assert Twice.words["twice"].description == "doubled"
    assert Twice.dtypes["twice"] == sl.Float64
    assert type(Ratio).from_dict(Ratio.to_dict()).words == Ratio.words
    assert type(Twice).from_dict(Twice.to_dict()).words == Twice.words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"pii": "secret"}, "direct, quasi or sensitive"),
        ({"between": (1, 0)}, "begins above its end"),
        ({"between": 5}, "(least, greatest)"),
        ({"between": ("a", "b")}, "no value of the column"),
        ({"in_set": ["a"]}, "no value of the column"),
        ({"units": "V"}, "a column has no 'units'"),
        ({"phi": "yes"}, "phi is true or false"),
        ({"unit": 5}, "a unit is text"),
        ({"tags": ["a"]}, "tags are a mapping"),
    ],
)
def test_wrong_words_are_refused_where_they_are_written(
    words: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        sl.Column(float, "x", **words)
    assert message in str(refused.value)


def test_words_are_listed_shown_and_found(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(defined(sl.Column(float, "what was paid", **WORDS), unit="EUR", owner="ada"))
        assert "in EUR" in str(fs.show("Spend"))
        assert fs.show("Spend:total_1h").to_dict()["description"] == "what was paid"
        assert "what was paid" in str(fs.show(fs.sources["pays"]))
        assert fs.search("paid")[0]["unit"] == "EUR"
        assert fs.search("ada")[0]["owner"] == "ada"
        with pytest.raises(sl.UnknownName, match="Did you mean 'Spend'"):
            fs.show("Spent")
