"""What a window says of its rows in one form it says in every other: each kind, by its examples."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless
from skewless.aggregations.kernels import Queries, gather_active
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.windows import (
    WINDOWS,
    LastN,
    Session,
    Sliding,
    lifetime,
    tumbling,
    window_from_dict,
)
from skewless.errors import DefinitionError

EXAMPLES = [window for kind in WINDOWS.values() for window in kind.examples()]
SHIFTED = [replace(window, offset=offset) for window in EXAMPLES for offset in (0, 3)]
EVENTS = st.lists(st.integers(-40, 60), max_size=14).map(sorted)
MOMENTS = st.integers(-45, 100)
every = pytest.mark.parametrize("window", SHIFTED, ids=repr)


def ints(values):
    return np.array(values, np.int64)


def test_every_kind_has_examples_and_each_is_of_its_kind():
    assert len(WINDOWS) >= 5
    assert all(type(w) is kind for kind in WINDOWS.values() for w in kind.examples())
    assert len({window.kind for window in EXAMPLES}) >= 6


@every
@given(EVENTS, MOMENTS)
def test_the_narrowed_rows_are_those_it_holds(window, events, at):
    high = sum(event <= at for event in events)
    low, high = window.narrow(ints(events), 0, high, at)
    assert list(range(low, high)) == window.holds(events, at)


@every
@given(EVENTS, MOMENTS)
def test_all_rows_it_holds_lie_between_its_bounds(window, events, at):
    after, until = window.bounds(at)
    held = window.holds(events, at)
    assert all(
        (after is None or after < events[place]) and events[place] <= until for place in held
    )
    if after is not None:
        assert len(held) == sum(after < event <= until for event in events)


@every
@given(EVENTS, MOMENTS)
def test_rows_count_from_when_they_enter_until_they_leave(window, events, t):
    spans = window.spans(RowTimes(ints(events), None, ints([0, len(events)])))
    _, rows = gather_active(spans, Queries(ints([t]), ints([0, 1])))
    assert rows.tolist() == window.holds(events, t - window.offset)


@every
@given(EVENTS, MOMENTS, st.integers(0, 60))
def test_values_change_only_at_its_turns_or_when_a_row_comes(window, events, at, later):
    turns = {turn for moments in window.turns(ints(events)) for turn in moments.tolist()}
    if not any(at < turn <= at + later for turn in turns | set(events)):
        assert window.holds(events, at) == window.holds(events, at + later)


@every
@given(EVENTS, MOMENTS, st.integers(0, 60))
def test_rows_that_may_not_count_any_more_are_never_held_again(window, events, floor, later):
    class Kept:
        event, group = ints(events), ints([0] * len(events))

        @staticmethod
        def later_in_group(marked):
            return marked.sum() - np.cumsum(marked)

    kept = window.may_count(Kept(), lambda: Kept.event <= floor, lambda: Kept.event > floor, floor)
    assert all(kept[place] for place in window.holds(events, floor + later))


@pytest.mark.parametrize("window", [w for w in SHIFTED if w.tiled], ids=repr)
@given(EVENTS, MOMENTS)
def test_its_tiles_are_its_rows(window, events, at):
    held = window.tiles(at)
    numbers = window.tile_numbers(ints(events)).tolist()
    found = [p for p, e in enumerate(events) if e <= at and numbers[p] in held]
    assert found == window.holds(events, at)
    inside = {number for number, event in zip(numbers, events, strict=True) if event <= at}
    assert sum(number in held for number in inside) <= window.most_tiles


@every
@given(EVENTS, MOMENTS)
def test_span_and_length_and_count_are_limits(window, events, at):
    held = window.holds(events, at)
    if window.span is not None:
        assert all(at - events[place] <= window.span for place in held)
    if window.most_rows is not None:
        assert len(held) <= window.most_rows
        assert window.estimate(ints([len(events)])).tolist() == [len(held)] or len(held) < len(
            events
        )
    if window.length is not None and held and window.kind != "resolution":
        assert events[held[-1]] - events[held[0]] < window.length


@every
def test_it_is_what_it_was_after_being_kept(window):
    assert window_from_dict(window.to_dict()) == window
    assert repr(window_from_dict(window.to_dict())) == repr(window)


def test_durations_written_differently_are_one_window():
    assert Sliding.of("24h") == Sliding.of("1d")
    assert repr(Sliding.of("24h")) == repr(Sliding.of("1d"))
    assert (Sliding.of("24h").label, Sliding.of("1d").label) == ("24h", "1d")


@pytest.mark.parametrize("window", [LastN(3), tumbling("1h"), lifetime(), Session(gap=1)])
def test_only_sliding_windows_take_a_resolution(window):
    with pytest.raises(DefinitionError, match="resolution"):
        window.coarse("5m")


def test_nothing_else_asks_of_which_kind_a_window_is():
    kinds = {kind.__name__ for kind in WINDOWS.values()}
    root = Path(skewless.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        if path.parent.name == "aggregations" and path.name == "windows.py":
            continue
        tree = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and "aggregations.windows" in (node.module or "")
            for alias in node.names
        }
        for node in ast.walk(tree):
            asked = []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = [n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)]
            if isinstance(node, ast.MatchClass):
                asked = [getattr(node.cls, "id", "")]
            found += [f"{path.name}: {name}" for name in asked if name in kinds & imported]
    assert found == []
