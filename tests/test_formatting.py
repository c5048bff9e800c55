"""Values and tables as people read them."""

import pytest

from skewless.formatting import ago, aligned, same_bits, shown


def test_values_are_shown_on_one_line():
    assert shown(None) == "null"
    assert shown("two\nlines") == "'two\\nlines'"
    assert len(shown("x" * 200)) == 60


@pytest.mark.parametrize(
    ("micros", "expected"),
    [
        (250_000, "0.25s"), (61_000_000, "1m1s"), (3_723_000_000, "1h2m"),
        (90_061_000_000, "1d1h"), (0, "0s"),
    ],
)  # fmt: skip
def test_ages_have_two_units(micros, expected):
    assert ago(micros) == expected


def test_numbers_stand_to_the_right_and_text_to_the_left():
    assert aligned([("n", "word"), (5, "a"), (None, "bb")], indent=1) == (
        "    n  word\n    5  a\n null  bb"
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (0.1 + 0.2, 0.3, False), (0.0, -0.0, False), (1, 1.0, False), (True, 1, False),
        ([1.0, None], [1.0, None], True), ([0.0], [-0.0], False), (None, None, True),
        ({"a": 0.0}, {"a": 0.0}, True), ({"a": 0.0}, {"b": 0.0}, False), ("x", "x", True),
    ],
)  # fmt: skip
def test_values_are_the_same_to_the_last_bit_or_not(one, other, same):
    assert same_bits(one, other) is same
