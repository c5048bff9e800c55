"""Lists, maps, vectors and dates in expressions: by row and by column, to the bit."""

import math
from datetime import UTC, date, datetime
from typing import Any

import pytest

import skewless as sl
from skewless.definitions.expressions import expression_from_dict
from tests.expressions.test_evaluate import both

numbers, words = sl.Request("numbers", list[float]), sl.Request("words", list[str])
shares = sl.Request("shares", sl.Map(float))
one, other = sl.Request("one", sl.Vector(2)), sl.Request("other", sl.Vector(2))
place, key = sl.Request("place", int), sl.Request("key", str)
day, born = sl.Request("day", date), sl.Request("born", date)
at = sl.Request("at", datetime)


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        (numbers.length(), {"numbers": [1.0, 2.0]}, 2),
        (numbers.length(), {"numbers": []}, 0),
        (numbers.length(), {"numbers": None}, None),
        (shares.length(), {"shares": {"a": 1.0}}, 1),
        (one.length(), {"one": [0.0, 1.0]}, 2),
        (numbers[0], {"numbers": [1.5, 2.0]}, 1.5),
        (numbers[-1], {"numbers": [1.5, 2.0]}, 2.0),
        (numbers[2], {"numbers": [1.5, 2.0]}, None),
        (words[place], {"words": ["a", "b"], "place": 1}, "b"),
        (words[place], {"words": ["a", "b"], "place": None}, None),
        (numbers.contains(2), {"numbers": [1.0, 2.0]}, True),
        (words.contains(key), {"words": ["a"], "key": "b"}, False),
        (words.contains(key), {"words": ["a"], "key": None}, None),
        (shares.contains("a"), {"shares": {"a": 1.0}}, True),
        (shares.get("a"), {"shares": {"a": 0.5}}, 0.5),
        (shares.get("b"), {"shares": {"a": 0.5}}, None),
        (shares.get(key, 0.0), {"shares": {"a": 0.5}, "key": "b"}, 0.0),
        (shares.get(key, 0), {"shares": {"a": 0.5}, "key": "a"}, 0.5),
        (shares.top(2), {"shares": {"a": 0.5, "b": 2.0, "c": 0.5}}, ["b", "a"]),
        (shares.top(place), {"shares": {"a": 0.5, "b": None}, "place": 9}, ["a"]),
        (shares.top(0), {"shares": {"a": 0.5}}, []),
        (shares.rank("c"), {"shares": {"a": 0.5, "b": 2.0, "c": 0.5, "d": None}}, 2),
        (shares.rank(key), {"shares": {"a": 0.5, "b": 2.0}, "key": "b"}, 1),
        (shares.rank(key), {"shares": {"a": 0.5, "d": None}, "key": "d"}, None),
        (shares.rank(key), {"shares": {"a": 0.5}, "key": "x"}, None),
        (numbers.above(1), {"numbers": [1.0, 2.0, 1.5]}, 2),
        (numbers.above(place), {"numbers": [1.0], "place": None}, None),
        (numbers.above(place), {"numbers": [], "place": 1}, 0),
        (numbers.near(10, 0.1), {"numbers": [9.0, 11.0, 11.5, -10.0]}, 2),
        (numbers.near(one[0], 0.1), {"numbers": [-1.0, 1.0], "one": [-1.0, 0.0]}, 1),
        (numbers.near(one[0], 0.1), {"numbers": None, "one": [-1.0, 0.0]}, None),
        (one.dot(other), {"one": [1.0, 2.0], "other": [3.0, 4.0]}, 11.0),
        (numbers.dot(one), {"numbers": [1.0], "one": [3.0, 4.0]}, None),
        (one.cosine(other), {"one": [2.0, 0.0], "other": [5.0, 0.0]}, 1.0),
        (one.cosine(other), {"one": [0.0, 0.0], "other": [1.0, 1.0]}, None),
        (one.cosine(other), {"one": [1.0, 1.0], "other": [-1.0, 1.0]}, 0.0),
        ((day - born).days(), {"day": date(2026, 3, 1), "born": date(2026, 2, 1)}, 28.0),
        ((at - born).days(), {"at": datetime(2026, 2, 1, 12, tzinfo=UTC), "born": date(2026, 2, 1)}, 0.5),
        ((born - at), {"at": datetime(2026, 2, 1, 0, 1, tzinfo=UTC), "born": date(2026, 2, 1)}, -60.0),
    ],
)  # fmt: skip
def test_value_by_row_and_by_column(expression: Any, values: dict[str, Any], expected: Any) -> None:
    assert both(expression, **values) == expected
    read = expression_from_dict(expression.to_dict())
    assert read.same_as(expression)
    assert both(read, **values) == expected


def test_products_are_summed_exactly() -> None:
    value = both(
        numbers.dot(sl.Request("more", list[float])),
        numbers=[1e16, 1.0, -1e16],
        more=[1.0, 1.0, 1.0],
    )
    assert value == math.fsum([1e16, 1.0, -1e16]) == 1.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: key[0], "a list or a vector, and a place"),
        (lambda: numbers["a"], "a list or a vector, and a place"),
        (lambda: numbers.get("a"), "a map, and text"),
        (lambda: words.contains(5), "a value of a list"),
        (lambda: words.near(1, 0.1), "numbers"),
        (lambda: words.above(1), "numbers"),
        (lambda: numbers.rank("a"), "a map to numbers, and a key"),
        (lambda: shares.rank(1), "a map to numbers, and a key"),
        (lambda: shares.near(1, 0.1), "a list of numbers, a number, and a share"),
        (lambda: numbers.top(3), "a map to numbers, and how many"),
        (lambda: numbers.dot(words), "two vectors"),
        (lambda: place.length(), "text, a list, a vector or a map"),
        (lambda: key.days(), "numbers"),
    ],
)
def test_what_is_not_defined_is_told_where_it_is_written(wrong: Any, said: str) -> None:
    with pytest.raises(sl.DefinitionError, match=said):
        wrong()


def test_an_expression_is_no_list_of_python() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        list(numbers)
