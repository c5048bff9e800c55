"""Rules of names and words: what does not keep to them, and what an apply refuses."""

import pytest

import skewless as sl
from skewless.checks.lint import LintRules
from skewless.config import Config
from skewless.definitions.repo import Definitions
from skewless.errors import ConfigError, RulesBroken

card = sl.Entity("card", card_id=str)
pays = sl.Source(
    "pays",
    schema={"card_id": sl.Column(str, "the card"), "amount": float},
    event_time="at",
    known_time="seen",
)


def view(name="Spend", feature="total", **labels):
    return sl.FeatureView(
        name, entity=card, source=pays, features={feature: pays.amount.sum("1h")}, **labels
    )


def found(*definitions, **rules):
    told = LintRules.of(rules).findings(Definitions.of(*definitions))
    return [(each.kind, each.name, each.rule) for each in told]


def settings(folder, text):
    (folder / "skewless.toml").write_text(text)
    return sl.FeatureStore(folder)


def test_without_rules_everything_is_as_wanted():
    assert found(view("x", "Y")) == []


@pytest.mark.parametrize(
    ("definition", "rules", "finding"),
    [
        (view(feature="Total"), {"features": "[a-z_]+"}, ("feature view", "Spend", "features")),
        (view("spend"), {"views": "[A-Z][A-Za-z]*"}, ("feature view", "spend", "views")),
        (view(), {"sources": "[a-z]+_rows"}, ("source", "pays", "sources")),
        (view(owner="ml"), {"owners": ["risk"]}, ("feature view", "Spend", "owners")),
        (view(), {"freshness": True}, ("feature view", "Spend", "freshness")),
        (view(), {"descriptions": ["view"]}, ("feature view", "Spend", "descriptions")),
        (view(), {"descriptions": ["feature"]}, ("feature view", "Spend", "descriptions")),
        (view(), {"descriptions": ["source"]}, ("source", "pays", "descriptions")),
        (view(), {"descriptions": ["column"]}, ("source", "pays", "descriptions")),
        (view(), {"descriptions": ["entity"]}, ("entity", "card", "descriptions")),
        (
            sl.FeatureService("model", ["Spend:total"]),
            {"descriptions": ["service"]},
            ("feature service", "model", "descriptions"),
        ),
    ],
)
def test_what_does_not_keep_to_a_rule_is_named(definition, rules, finding):
    assert finding in found(definition, **rules)


def test_what_keeps_to_all_rules_is_not_named():
    described = sl.FeatureView(
        "Spend",
        entity=card,
        source=pays,
        features={"total": pays.amount.sum("1h").describe("what was spent")},
        description="What was spent.",
        owner="risk",
        freshness="5m",
    )
    rules = {
        "features": "[a-z]+", "views": "[A-Z][a-z]+", "freshness": True,
        "descriptions": ["view", "feature"],
    }  # fmt: skip
    assert found(described, **rules) == []
    assert found(described, owners=True) == [("source", "pays", "owners")]


def test_a_pattern_is_that_of_the_whole_name():
    assert found(view(feature="total_"), features="[a-z]+") != []


def test_times_are_no_columns_that_anybody_has_to_describe():
    told = LintRules.of({"descriptions": ["column"]}).findings(Definitions.of(pays))
    assert [each.what for each in told] == ["the column 'amount' has no description"]


def test_roles_of_a_view_are_not_named_a_second_time():
    spend = view()
    service = sl.FeatureService("model", [spend, spend.of(card_id="other", prefix="other_")])
    assert found(spend, service, freshness=True) == [("feature view", "Spend", "freshness")]


def test_on_demand_views_have_rules_too():
    amount = sl.Request("amount", float)
    ratio = sl.OnDemandView("ratio", features={"Ratio": amount / view().total})
    rules = {"views": "[A-Z].*", "features": "[a-z]+", "owners": True}
    told = [each for each in found(ratio, **rules) if each[0] == "on-demand view"]
    assert told == [("on-demand view", "ratio", rule) for rule in ("views", "owners", "features")]


@pytest.mark.parametrize(
    "rules",
    [
        {"features": "["},
        {"views": 3},
        {"owners": "risk"},
        {"freshness": "yes"},
        {"descriptions": ["everything"]},
        {"descriptions": "view"},
        {"enforce": 1},
    ],
)
def test_rules_that_cannot_be_are_errors_of_the_settings(rules):
    with pytest.raises(ConfigError) as problem:
        LintRules.of(rules, "[lint] of skewless.toml")
    assert "[lint] of skewless.toml" in str(problem.value)


def test_an_unknown_rule_is_named(tmp_path):
    with pytest.raises(ConfigError, match="feature"):
        Config.of(tmp_path, {"lint": {"feature": "x"}})


def test_a_plan_shows_what_is_not_kept_and_an_apply_takes_it(tmp_path):
    with settings(tmp_path, "[lint]\nowners = true\n") as fs:
        plan = fs.plan(view())
        assert "Rules of [lint] that are not kept:" in str(plan)
        assert "feature view Spend: has no owner" in str(plan)
        assert {each["name"] for each in plan.to_dict()["lint"]} == {"Spend", "pays"}
        fs.apply(plan)
        assert "Spend" in fs.views


def test_enforced_rules_refuse_what_is_added(tmp_path):
    with settings(tmp_path, "[lint]\nowners = true\nenforce = true\n") as fs:
        with pytest.raises(RulesBroken, match="Spend: has no owner"):
            fs.apply(view())
        assert fs.views == {}
        fs.apply(view(), lint=False)
        assert "Spend" in fs.views


def test_what_is_unchanged_is_left_alone(tmp_path):
    with settings(tmp_path, "") as fs:
        fs.apply(view())
    with settings(tmp_path, "[lint]\nowners = true\nenforce = true\n") as fs:
        other = sl.FeatureView(
            "Other", entity=card, source=pays, owner="risk", features={"n": pays.count("1h")}
        )
        plan = fs.plan(view(), other)
        assert len(plan.lint) == 2
        fs.apply(plan)
        assert "Other" in fs.views


def test_a_rule_is_enforced_on_request(tmp_path):
    with (
        settings(tmp_path, "[lint]\nowners = true\n") as fs,
        pytest.raises(RulesBroken, match="has no owner"),
    ):
        fs.apply(view(), lint=True)
