"""Timelines: where rows are drawn, what is left out, and that shapes tell verdicts apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.errors import InputError
from skewless.ui.charts.scale import Scale, round_times, round_values
from skewless.ui.charts.timeline import MOST_MARKS, SHAPES, Row, Timeline, mark_of, timeline
from skewless.ui.charts.zoom import LEAST, Stretch, zoomed
from tests.ui.repo import HOUR, MINUTE, NOON, Document

TIMES = st.integers(0, 4_000_000_000_000_000)


def drawn(rows: list[Row], *, after: int | None = NOON - HOUR, built: tuple = ()) -> Document:
    return Document(str(timeline(Timeline("r0", "t", rows, after, NOON, NOON, built))))


def marks(page: Document) -> list[str]:
    return [str(given["href"]) for tag, given in page.elements if tag == "a"]


def row(number: int, ago: int, verdict: str = "counted", value: object = 1.0, late: int = 0) -> Row:
    return Row(number, NOON - ago, NOON - ago + late, verdict, value)


def test_each_verdict_has_a_mark_of_its_own_shape() -> None:
    shapes = {
        verdict: str(mark_of(verdict)).replace(f"v-{verdict.split()[0]}", "") for verdict in SHAPES
    }
    of_rings = shapes.pop("no group")
    assert of_rings == shapes["null value"]  # two ways to take no part
    assert len(set(shapes.values())) == len(shapes)


def test_rows_far_before_the_window_are_left_out() -> None:
    assert marks(drawn([row(0, 90 * HOUR, "outside the window"), row(1, 0)])) == ["#r0-1"]


def test_no_more_rows_are_drawn_than_can_be_told_apart_the_newest() -> None:
    rows = [row(number, 3000 - number) for number in range(3000)]
    found = marks(drawn(rows))
    assert len(found) == MOST_MARKS
    assert found[-1] == "#r0-2999"


def test_a_late_row_has_a_line_to_when_it_was_known() -> None:
    page = drawn(
        [row(0, HOUR // 2, "not yet known", late=HOUR // 2 + HOUR // 12), row(1, HOUR // 4)]
    )
    tails = [given for tag, given in page.elements if tag == "g" and given["class"] == "tail v-not"]
    assert len(tails) == 1


def test_values_that_are_no_numbers_have_a_lane_each() -> None:
    page = drawn([row(0, 10, value="Bonn"), row(1, 5, value="Köln"), row(2, 1, value="Bonn")])
    heights = [given["cy"] for tag, given in page.elements if tag == "circle"]
    assert heights[0] == heights[2] != heights[1]
    assert "Köln" in page.text


def test_a_window_without_bounds_begins_with_the_first_row_that_counted() -> None:
    rows = [row(0, 400 * HOUR), row(1, 2)]
    given = Timeline("r0", "t", rows, None, NOON, NOON)
    seen = given.stretch()
    assert seen.low < NOON - 400 * HOUR < NOON < seen.high


def test_an_entity_without_rows_can_be_drawn() -> None:
    assert marks(drawn([])) == []
    assert marks(drawn([], after=None)) == []


def test_a_zoom_draws_its_rows_alone_and_the_value_they_begin_with() -> None:
    rows = [row(number, HOUR - number * MINUTE, value=1.0) for number in range(60)]
    built = tuple(float(number + 1) for number in range(60))
    zoom = Stretch(NOON - 30 * MINUTE, NOON - 20 * MINUTE)
    addresses: list[Stretch] = []
    given = Timeline(
        "r0", "t", rows, NOON - HOUR, NOON, NOON, built, zoom,
        lambda each: addresses.append(each) or "/closer",
    )  # fmt: skip
    page = Document(str(timeline(given)))
    drawn = [mark for mark in marks(page) if mark.startswith("#")]
    assert drawn == [f"#r0-{number}" for number in range(30, 41)]
    [line] = [given["d"] for tag, given in page.elements if given.get("class") == "built"]
    assert str(line).startswith("M64 ")  # at the left edge, with what was there before
    assert "asked" not in page.text
    assert addresses
    assert all(zoom.low <= each.low < each.high <= zoom.high for each in addresses)


@given(st.integers(0, 10**12), st.integers(LEAST, 10**12), st.integers(0, 10**12), st.data())
def test_steps_of_a_zoom_stay_within_the_whole_and_come_back(
    low: int, span: int, more: int, data: st.DataObject
) -> None:
    whole = Stretch(low, low + span + more)
    start = data.draw(st.integers(low, low + more))
    steps = dict(Stretch(start, start + span).steps(whole))
    assert all(whole.low <= each.low < each.high <= whole.high for each in steps.values())
    assert steps.get("Whole", whole) == whole
    for word, each in steps.items():
        if word != "Whole":  # an address holds microseconds
            assert zoomed(each.text("r1")) == ("r1", each) or each.high - each.low < LEAST


@pytest.mark.parametrize("text", ["r0", "r0~a~b", "r0~2026-01-01T00:00:00Z~2026-01-01T00:00:01Z"])
def test_what_is_no_stretch_is_said(text: str) -> None:
    with pytest.raises(InputError):
        zoomed(text)


@given(
    st.lists(st.tuples(TIMES, TIMES, st.sampled_from([*SHAPES, "outside the window"]),
                       st.none() | st.floats() | st.text() | st.booleans() | st.integers()),
             max_size=30),
    st.none() | TIMES, st.none() | st.tuples(TIMES, st.integers(LEAST, 10**15)),
)  # fmt: skip
def test_any_rows_can_be_drawn(found: list, after: int | None, zoom: tuple | None) -> None:
    rows = [
        Row(number, event, known, verdict, value)
        for number, (event, known, verdict, value) in enumerate(sorted(found, key=lambda x: x[0]))
    ]
    seen = None if zoom is None else Stretch(zoom[0], zoom[0] + zoom[1])
    given = Timeline("r0", "t", rows, after, NOON, NOON, (), seen, lambda _: "/")
    page = Document(str(timeline(given)))
    assert page.elements[0][0] == "svg"
    assert "nan" not in str(page.elements)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(2, 9))
def test_round_values_lie_between_and_are_few(low: float, width: float, count: int) -> None:
    if low + width > low:
        found = round_values(low, low + width, count)
        assert len(found) <= 3 * count
        slack = width * 1e-6 + abs(low) * 1e-9
        assert all(low - slack <= value <= low + width + slack for value in found)


@given(TIMES, st.integers(1, 10**15), st.integers(2, 9))
def test_round_times_lie_between_and_are_few(low: int, width: int, count: int) -> None:
    found = round_times(low, low + width, count)
    assert len(found) <= 3 * count
    assert all(low <= at <= low + width for at, _ in found)


@pytest.mark.parametrize(("value", "place"), [(0, 10), (5, 15), (10, 20)])
def test_a_scale_is_a_straight_line(value: float, place: float) -> None:
    assert Scale(0, 10, 10, 20)(value) == place
    assert Scale(3, 3, 10, 20)(3) == 15
