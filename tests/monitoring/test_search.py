"""Features are found by what people call them."""

import gc
from datetime import date

import pytest

import skewless as sl
import skewless.monitoring.search as search_module
from benchmarks.search import rates
from benchmarks.search_catalog import definitions
from skewless.clock import SettableClock
from skewless.monitoring.search_index import Index, words_of
from tests.monitoring.shop import CARD, NOON, pay, payments, spend_of, store


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
    assert answer.pop("why") == ["its name"]
    assert answer.pop("training_sets") == 0
    assert answer == {
        "feature": "Payment@v1:ratio", "name": "ratio", "view": "Payment", "version": 1,
        "type": "Float64", "kind": "on-demand feature", "entity": "card", "source": "pays",
        "owner": "", "description": "", "unit": "", "tags": {}, "services": [],
        "computes": "(request.amount / Spend@v1:total_1h): Float64", "pii": None, "classes": [],
        "freshness": None, "deprecated": "", "sunset": None, "windows": {},
    }  # fmt: skip


def test_names_fall_into_words():
    assert words_of("FabRolling:vdd_mean_24h") == ["fab", "rolling", "vdd", "mean", "24h"]
    assert words_of("HTTPErrors überfällig") == ["http", "errors", "überfällig"]


# ----------------------------------------------------------------------------- eight teams


@pytest.fixture(scope="module")
def teams(tmp_path_factory):
    with sl.FeatureStore(tmp_path_factory.mktemp("teams")) as opened:
        opened.apply(definitions())
        yield opened


def test_what_people_type_finds_what_they_mean(teams):
    shares = rates(teams)
    assert min(shares["tuned_at_1"], shares["held_out_at_1"]) >= 0.85
    assert min(shares["tuned_at_3"], shares["held_out_at_3"]) >= 0.9
    assert shares["empty"] <= 0.02
    assert shares["nothing_empty"] == 1


def test_windows_of_a_feature_are_one_answer_headed_by_the_one_asked_for(teams):
    for text, feature in (
        ("card spend 24h", "amt_sum_24h"), ("card spend 1 day", "amt_sum_24h"),
        ("card spend last week", "amt_sum_7d"), ("hourly card spend", "amt_sum_1h"),
    ):  # fmt: skip
        answers = [hit for hit in teams.search(text) if hit["name"].startswith("amt_sum_")]
        assert [hit["name"] for hit in answers] == [feature]
        assert answers[0]["windows"] == {
            window: f"CardVelocity@v1:amt_sum_{window}" for window in ("1h", "24h", "7d")
        }


def test_a_name_as_it_is_written_comes_first(teams):
    for text in ("amt_sum_7d", "CardVelocity:amt_sum_7d", "CardVelocity@v1:amt_sum_7d"):
        assert found(teams, text)[0] == "CardVelocity@v1:amt_sum_7d"


def test_what_is_deprecated_comes_below_what_replaces_it_and_says_so(teams):
    hits = teams.search("transaction amount of a card in 24 hours total", 20)
    views = [hit["view"] for hit in hits]
    assert "CardTotals" in views
    assert views.index("CardVelocity") < views.index("CardTotals")
    assert all(
        hit["deprecated"] == ("use CardVelocity" if hit["view"] == "CardTotals" else "")
        for hit in hits
    )
    named = [hit["view"] for hit in teams.search("amt_total", 20)]
    assert "CardTotals" in named
    assert named.index("CardVelocity") < named.index("CardTotals")


def test_a_window_that_the_registry_deprecates_says_so_alone(tmp_path):
    totals = payments().amount.sum("1h", "24h")
    view = sl.FeatureView("Spend", entity=CARD, source=payments(), features={"total": totals})
    with store(tmp_path, view) as fs:
        assert fs.search("total")[0]["deprecated"] == ""
        fs.runtime.registry.deprecate("Spend:total_1h", "wrong", sunset=date(2026, 3, 1))
        fs.runtime.state(fresh=True)
        (answer,) = fs.search("total")
        assert (answer["name"], answer["deprecated"]) == ("total_24h", "")
        (answer,) = fs.search("total 1h")
        assert (answer["deprecated"], answer["sunset"]) == ("wrong", "2026-03-01")
        assert fs.search("total 1h -deprecated")[0]["name"] == "total_24h"
        assert fs.search("status:deprecated")[0]["name"] == "total_1h"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("temperature owner:icu", "owner", "icu"),
        ("count entity:merchant", "entity", "merchant"),
        ("maximum tag:mobility", "tags", {"domain": "mobility"}),
        ("maximum tag:domain=mobility", "tags", {"domain": "mobility"}),
        ("amount view:MerchantRisk", "view", "MerchantRisk"),
        ("average source:bureau", "source", "bureau"),
        ("unit:mmHg", "unit", "mmHg"),
        ("amount status:deprecated", "deprecated", "use CardVelocity"),
    ],
)
def test_filters_leave_only_what_passes(teams, text, key, value):
    hits = teams.search(text, 1000)
    assert hits or key in ("unit", "source")
    assert all(hit[key] == value for hit in hits)


def test_a_minus_excludes(teams):
    text = "transaction amount"
    assert {hit["view"] for hit in teams.search(text, 50)} > {"CardTotals"}
    for without in ("-deprecated", "-status:deprecated", "-view:cardtotals"):
        assert "CardTotals" not in {hit["view"] for hit in teams.search(f"{text} {without}", 50)}


def test_fresh_keeps_what_is_as_fresh_as_promised(tmp_path):
    clock = SettableClock(NOON)
    spend = spend_of(payments(), freshness="1h")
    ratio = sl.on_demand(type("Part", (), {"part": sl.Request("a", float) / spend.total_1h}))
    with store(tmp_path, spend, ratio, clock=clock) as fs:
        assert found(fs, "total fresh") == []
        fs.push("pays", [pay("p1", "11:30")])
        assert found(fs, "total fresh")[0] == "Spend@v1:total_1h"
        assert found(fs, "part fresh")[0] == "Part@v1:part"
        assert found(fs, "total -fresh") == []
        clock.time += 2 * 3_600_000_000
        assert found(fs, "total fresh") == found(fs, "part fresh") == []
        assert found(fs, "total -fresh")[0] == "Spend@v1:total_1h"
        assert fs.search("total")[0]["freshness"] == "1h"


def test_an_answer_says_why(teams):
    first = teams.search("refused payments past hour")[0]
    assert first["feature"] == "CardVelocity@v1:decl_cnt_1h"
    assert first["why"] == [
        "refused as decl in name",
        "payments as txn in source",
        "hour in window",
    ]


def test_columns_words_and_units_find_their_features(teams):
    assert found(teams, "potassium") == ["PatientLabs@v1:k_last"]
    assert found(teams, "GHz")[0].startswith("WaferParametrics@v1:fmax")


def test_the_index_is_built_once_for_a_revision(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(search_module, "Index", lambda *args: built.append(1) or Index(*args))
    with store(tmp_path, spend_of(payments())) as fs:
        for text in ("total", "city", "total"):
            fs.search(text)
        assert len(built) == 1
        fs.apply(sl.FeatureView("More", entity=CARD, source=payments(), features={
            "most": payments().amount.max("1h")}))  # fmt: skip
        assert fs.search("most")[0]["feature"] == "More@v1:most"
        assert len(built) == 2


def test_indexes_go_with_the_states_they_are_of(tmp_path):
    gc.collect()
    before = len(search_module._INDEXES)
    with store(tmp_path, spend_of(payments())) as fs:
        fs.search("total")
        assert len(search_module._INDEXES) == before + 1
    del fs
    gc.collect()
    assert len(search_module._INDEXES) == before


def test_a_long_text_costs_no_more_than_its_first_words(teams):
    text = " ".join(f"w{number}q" for number in range(5_000))
    assert teams.search(text) == []
