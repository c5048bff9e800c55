"""Keys are assigned by a hash that any program can compute."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.experiments.assignment import CONTROL, TREATMENT, assigned, fraction

KEYS = st.dictionaries(
    st.sampled_from(["card_id", "user", "n"]), st.text() | st.integers(), min_size=1
)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"card_id": "c1"}, '["trial",{"card_id":"c1"}]'),
        ({"user": "ü\n", "n": 7}, '["trial",{"n":7,"user":"ü\\n"}]'),
    ],
)
def test_the_fraction_is_what_the_documentation_says(keys: dict[str, object], text: str) -> None:
    first = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) >> 11
    assert fraction("trial", keys) == first / 2**53


@given(KEYS)
def test_the_order_of_keys_does_not_matter(keys: dict[str, object]) -> None:
    assert fraction("x", keys) == fraction("x", dict(reversed(keys.items())))
    assert 0 <= fraction("x", keys) < 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_so_many_keys_are_given_the_treatment(share: float) -> None:
    many = 20_000
    found = [assigned("trial", {"id": n}, share) for n in range(many)]
    assert set(found) == {CONTROL, TREATMENT}
    error = (share * (1 - share) / many) ** 0.5
    assert abs(found.count(TREATMENT) / many - share) < 4 * error


def test_experiments_are_independent() -> None:
    both = sum(
        assigned("one", {"id": n}, 0.5) == assigned("two", {"id": n}, 0.5) for n in range(20_000)
    )
    assert abs(both / 20_000 - 0.5) < 4 * (0.25 / 20_000) ** 0.5


def test_values_are_those_of_json() -> None:
    assert json.loads(json.dumps({"id": 7})) == {"id": 7}
    assert fraction("x", {"id": 7}) != fraction("x", {"id": "7"})
