"""A promise has two ages and hours, and time outside of the hours does not count."""

import pytest

import skewless as sl
from skewless.clock import iso, to_micros
from skewless.definitions.freshness import promise_of
from skewless.errors import DefinitionError
from tests.shop import CARD, HOUR, MINUTE, payments

OFFICE = sl.Freshness(warn="2m", error="5m", hours="Mo-Fr 06-22", tz="Europe/Berlin")


def view(freshness: object) -> sl.FeatureView:
    pays = payments()
    return sl.FeatureView(
        "Spend", entity=CARD, source=pays, features={"n": pays.count("1h")}, freshness=freshness
    )


@pytest.mark.parametrize(
    ("moment", "open_then"),
    [
        ("2026-01-09T20:59:59Z", True),  # Friday, 21:59 in Berlin
        ("2026-01-09T21:00:00Z", False),
        ("2026-01-10T12:00:00Z", False),
        ("2026-01-12T04:59:59Z", False),
        ("2026-01-12T05:00:00Z", True),
        ("2026-07-10T04:00:00Z", True),  # summer time
    ],
)
def test_it_holds_in_its_hours_alone(moment: str, open_then: bool) -> None:
    assert OFFICE.open_at(to_micros(moment)) is open_then


def test_what_stands_still_overnight_is_not_old_in_the_morning() -> None:
    evening, morning = to_micros("2026-01-08T20:59:00Z"), to_micros("2026-01-09T05:01:00Z")
    assert OFFICE.age(evening, morning) == 2 * MINUTE
    assert iso(OFFICE.broken_at(evening, OFFICE.error) or 0) == "2026-01-09T05:04:00Z"


def test_rules_that_overlap_count_each_moment_once() -> None:
    once, twice = "Mo-Fr 06-22, Sa 08-14", "Mo-Fr 06-22, Mo 08-14, Tu 08-23, Tu 09-22, Sa 08-14"
    since, now = to_micros("2026-01-04T00:00:00Z"), to_micros("2026-01-07T00:00:00Z")
    ages = [sl.Freshness("5m", hours=hours).age(since, now) for hours in (once, twice)]
    assert ages == [32 * HOUR, 33 * HOUR]


def test_no_time_is_taken_off_where_spring_leaves_out_an_hour() -> None:
    early = sl.Freshness("5m", hours="02:30-03:00", tz="Europe/Berlin")
    since, now = to_micros("2026-03-28T12:00:00Z"), to_micros("2026-03-29T12:00:00Z")
    assert early.age(since, now) == 0  # neither 02:30 nor what follows was on the clock
    assert early.age(since, now + 24 * HOUR) == 30 * MINUTE
    assert iso(early.broken_at(since, 5 * MINUTE) or 0) == "2026-03-30T00:35:00Z"


def test_without_hours_all_time_counts() -> None:
    always = sl.Freshness(error="5m")
    assert always.age(0, HOUR) == HOUR
    assert always.broken_at(0, always.error) == 5 * MINUTE


def test_a_view_keeps_all_of_its_promise_and_its_version() -> None:
    plain, promised = view("5m"), view(OFFICE)
    assert promised.fingerprint == plain.fingerprint
    again = sl.FeatureView.from_dict(promised.to_dict(), promised.entity, promised.source)
    assert promise_of(again.labels) == OFFICE
    assert promise_of(plain.labels) == sl.Freshness("5m")
    assert promise_of(view(None).labels) is None
    assert plain.to_dict() == view(sl.Freshness("5m")).to_dict()


@pytest.mark.parametrize(
    "given",
    [
        {"error": "5m", "warn": "5m"},
        {"error": "soon"},
        {"error": "5m", "hours": "Mo-Fr"},
        {"error": "5m", "hours": "Mo-Fr 22-06"},
        {"error": "5m", "hours": "Mx 06-22"},
        {"error": "5m", "hours": "08:75-18:00"},
        {"error": "5m", "hours": "06-22", "tz": "Europe/Nowhere"},
    ],
)
def test_what_cannot_be_read_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(DefinitionError):
        sl.Freshness(**given)
