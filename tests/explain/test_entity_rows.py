"""The rows of one entity tell the whole story: corrections by rows of other entities included."""

from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.clock import from_micros
from skewless.definitions import Entity, Source
from skewless.engines.reference import HistoryRow, visible
from skewless.explain.entity_rows import entity_rows
from skewless.testing.history import MemoryHistory

CARD = Entity("card", card=str)
SOURCE = Source(
    "pays", schema={"id": str, "card": str, "amount": float}, event_time="at", row_id="id"
)


def version(card, amount, event, known, tiebreak, *, row_id="p1", deleted=False, late=False):
    values = {"id": row_id, "card": card, "amount": amount, "at": from_micros(event)}
    return HistoryRow(values, event, known, tiebreak, late=late, row_id=(row_id,), deleted=deleted)


@st.composite
def histories(draw):
    """Few ids, cards, amounts and times, so that versions meet at every moment."""
    found = []
    for number in range(1, draw(st.integers(2, 10))):
        deleted = draw(st.integers(0, 4)) == 0
        found.append(
            version(
                draw(st.sampled_from("ab")), draw(st.sampled_from([1.0, 2.0])),
                draw(st.integers(1, 2)), draw(st.integers(0, 3)), number,
                row_id=draw(st.sampled_from(["p1", "p1", "p2"])), deleted=deleted,
                late=not deleted and draw(st.integers(0, 5)) == 0,
            )
        )  # fmt: skip
    return found


def told(rows, k):
    return [(row.row_id, row.order, row.values["amount"]) for row in visible(rows, k)]


@settings(max_examples=300)
@given(histories())
def test_what_is_visible_of_an_entity_is_what_is_visible_of_it_in_the_whole_history(rows):
    for card in "ab":
        alone = entity_rows(MemoryHistory(SOURCE, rows), CARD, {"card": card})
        for k in (0, 1, 2, 3, None):
            whole = [row for row in visible(rows, k) if row.values["card"] == card]
            assert told(alone, k) == told(whole, k)


def test_a_row_delivered_again_at_the_moment_another_card_takes_it_over_is_gone():
    """Found by generated traffic: the re-delivery was taken for what replaced the row."""
    rows = [
        version("a", 1.0, 0, 1, 1),
        version("a", 1.0, 0, 2, 2),
        version("b", 1.0, 0, 2, 3),
    ]
    alone = entity_rows(MemoryHistory(SOURCE, rows), CARD, {"card": "a"})
    assert [len(visible(alone, k)) for k in (0, 1, 2, None)] == [0, 1, 0, 0]
