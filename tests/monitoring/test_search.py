"""Features are found by what people call them."""

import pytest

import skewless as sl
from skewless.monitoring.search import words_of
from tests.monitoring.shop import CARD, payments, spend_of, store


@pytest.fixture(scope="module")
def fs(tmp_path_factory):
    pays = payments(description="What cards pay in shops.")
    spend = spend_of(pays, tags={"domain": "fraud"})
    profile = sl.FeatureView(
        "CardProfile",
        entity=CARD,
        source=pays,
        features={"monthly_spend": pays.amount.sum("30d"), "home": pays.city.latest()},
        description="Wer die Karte führt.",
        owner="growth-team",
    )
    amount = sl.Request("amount", float)
    ratio = sl.on_demand(type("Payment", (), {"ratio": amount / spend.total_1h}))
    service = sl.FeatureService("checkout_model", [profile.home])
    with store(tmp_path_factory.mktemp("search"), spend, profile, ratio, service) as opened:
        yield opened


def found(fs, text, limit=3):
    return [answer["feature"] for answer in fs.search(text, limit)]


def test_a_feature_is_found_by_its_name_first(fs):
    assert found(fs, "ratio") == ["Payment@v1:ratio"]
    assert found(fs, "home")[0] == "CardProfile@v1:home"


def test_words_of_a_window_are_found_by_its_length(fs):
    assert found(fs, "spend last month")[0] == "CardProfile@v1:monthly_spend"
    assert found(fs, "hour")[0].startswith("Spend@v1:")


def test_a_slip_of_the_pen_is_forgiven(fs):
    assert found(fs, "citty")[0] == "Spend@v1:city"


def test_a_beginning_is_enough(fs):
    assert found(fs, "mont")[0] == "CardProfile@v1:monthly_spend"


@pytest.mark.parametrize("text", ["fraud", "risk", "much"])
def test_tags_owners_and_descriptions_are_searched(fs, text):
    assert found(fs, text)[0].startswith("Spend@v1:")


def test_services_and_other_alphabets_are_searched(fs):
    assert found(fs, "checkout") == ["CardProfile@v1:home"]
    assert found(fs, "führt")[0].startswith("CardProfile@v1:")


def test_nothing_in_common_finds_nothing(fs):
    assert found(fs, "zzzz") == []


def test_an_empty_text_lists_features_up_to_the_limit(fs):
    assert len(found(fs, "", limit=4)) == 4


def test_an_answer_says_what_a_feature_is(fs):
    (answer,) = fs.search("ratio", 1)
    assert answer.pop("score") > 0
    assert answer == {
        "feature": "Payment@v1:ratio", "name": "ratio", "view": "Payment", "version": 1,
        "type": "Float64", "kind": "on-demand feature", "entity": "card", "source": "pays",
        "owner": "", "description": "", "unit": "", "tags": {}, "services": [],
        "computes": "(request.amount / Spend@v1:total_1h): Float64",
    }  # fmt: skip


def test_names_fall_into_words():
    assert words_of("FabRolling:vdd_mean_24h") == ["fab", "rolling", "vdd", "mean", "24h"]
    assert words_of("HTTPErrors überfällig") == ["http", "errors", "überfällig"]
