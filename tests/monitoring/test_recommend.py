"""What a service could try: what others use, what it would not repeat; and usage in search."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import UnknownName
from tests.cli.running import data_of, run_in
from tests.shop import HOUR, MINUTE, NOON, open_store, pay, payments

PAYS = payments(row_id="pay_id")
CARD = sl.Entity("card", card_id=str)


def view(name, **features):
    return sl.FeatureView(name, entity=CARD, source=PAYS, features=features)


SPEND = view("Spend", total=PAYS.amount.sum("1h"), city=PAYS.city.latest())
MORE = view(
    "More",
    doubled=(PAYS.amount.sum("1h") * 2.0),
    biggest_n=PAYS.n.max("1h"),
    other_n=PAYS.n.min("1h"),
    old=PAYS.count("1h"),
)
FRAUD = sl.FeatureService("fraud", [SPEND])
OTHER = sl.FeatureService("other", [MORE.biggest_n, SPEND.total])


@pytest.fixture
def shop(tmp_path: Path):
    with open_store(tmp_path / "shop", SPEND, MORE, FRAUD, OTHER) as fs:
        rows = [
            pay(f"p{n}", NOON - n * MINUTE // 4, float(n), card=f"c{n}", n=(n * 37) % 41)
            for n in range(40)
        ]
        fs.push("pays", rows)
        fs.runtime.registry.deprecate("More:old", "use nothing")
        yield fs


def test_what_others_serve_comes_first_and_what_repeats_last(shop) -> None:
    found = shop.recommend("fraud").features
    assert [each.feature for each in found] == [
        "More@v1:biggest_n", "More@v1:other_n", "More@v1:doubled",
    ]  # fmt: skip
    first, _, last = found
    assert (first.services, last.services) == (1, 0)
    assert (last.nearest, last.correlation, last.entities) == ("Spend@v1:total", 1.0, 40)
    assert last.repeats
    assert not first.repeats
    assert first.correlation < 0.5


def test_what_was_trained_on_comes_before_what_was_not(shop) -> None:
    spine = [{"card_id": "c1", "at": "2026-01-02T12:00:00Z"}]
    shop.get_historical_features(spine, ["More:other_n"], timestamp="at")
    other = next(e for e in shop.recommend("fraud").features if e.feature.endswith("other_n"))
    assert other.training_sets == 1
    assert "More@v1:other_n" in str(shop.recommend("fraud"))


def test_with_too_few_entities_nothing_is_said_of_a_correlation(tmp_path: Path) -> None:
    with open_store(tmp_path / "few", SPEND, MORE, FRAUD) as fs:
        fs.push("pays", [pay(f"p{n}", NOON, float(n), card=f"c{n}") for n in range(5)])
        assert {each.correlation for each in fs.recommend("fraud").features} == {None}


def test_a_service_that_is_not_there_is_refused_and_the_command_answers(shop) -> None:
    with pytest.raises(UnknownName):
        shop.recommend("nobody")
    folder = shop.config.folder
    shop.close()
    assert data_of(run_in(folder, "recommend", "other", "--limit", "1", "--json"))["features"]


def test_what_training_sets_have_is_found_earlier(tmp_path: Path) -> None:
    one, two = view("Aaa", total=PAYS.amount.sum("1h")), view("Bbb", total=PAYS.amount.sum("1h"))
    with open_store(tmp_path / "shop", one, two) as fs:
        assert [hit["view"] for hit in fs.search("total amount")] == ["Aaa", "Bbb"]
        spine = [{"card_id": "c1", "at": "2026-01-02T12:00:00Z"}]
        fs.runtime.clock.time = NOON + HOUR
        fs.get_historical_features(spine, ["Bbb:total"], timestamp="at")
        found = fs.search("total amount")
        assert [hit["view"] for hit in found] == ["Bbb", "Aaa"]
        assert [hit["training_sets"] for hit in found] == [1, 0]
