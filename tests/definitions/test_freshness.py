"""A promise has two ages and hours, and time outside of the hours does not count."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

import skewless as sl
from skewless.clock import from_micros, iso, to_micros
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


CLOCKS_CHANGE = [
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("America/Havana", "2026-11-01T05:00:00Z"),  # from 1:00 to midnight
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),  # from midnight to 23:00 of the day before
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),  # a day without midnight
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),  # a day that was left out
    ("Asia/Kathmandu", "2026-05-05T05:00:00Z"),
]


@pytest.mark.parametrize(
    "hours", ["00-24", "01-02:30", "02:30-04", "02:15-02:45, 02:40-03:10", "23-24, 00-00:30", "06-22",
              "Su 01-03, Mo-Sa 22-24"],
)  # fmt: skip
@pytest.mark.parametrize(("zone", "change"), CLOCKS_CHANGE)
def test_it_holds_when_clocks_on_the_wall_say_so(zone: str, change: str, hours: str) -> None:
    """What autumn has twice is open twice, what spring leaves out never: minute by minute."""
    promise = sl.Freshness("5m", hours=hours, tz=zone)
    minutes = to_micros(change) + np.arange(-26 * 60, 26 * 60, 5) * MINUTE
    found = [promise.open_at(minute) for minute in minutes.tolist()]
    assert found == [shown_open(hours, zone, minute) for minute in minutes.tolist()]
    first, last = int(minutes[0]), int(minutes[-1])
    assert promise.age(first, last) == sum(found[:-1]) * 5 * MINUTE
    if last_open := promise.age(first, last):
        assert (
            promise.broken_at(first, last_open - 1)
            == first
            + max(place for place, is_open in enumerate(found[:-1], 1) if is_open) * 5 * MINUTE
            - 1
        )


def shown_open(hours: str, zone: str, moment: int) -> bool:
    """Whether a clock on the wall shows a time within the hours."""
    local = from_micros(moment).astimezone(ZoneInfo(zone))
    for rule in hours.split(", "):
        days, _, span = rule.rpartition(" ")
        first, _, last = days.partition("-")
        known = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]
        if days and not known.index(first) <= local.weekday() <= known.index(last or first):
            continue
        start, end = (int(each[:2]) * 60 + int(each[3:] or 0) for each in span.split("-"))
        if start <= local.hour * 60 + local.minute < end:
            return True
    return False


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
