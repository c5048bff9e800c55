"""States as bytes: what is encoded is decoded, byte for byte, and samples of old stay readable."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations.exact import ExactSum
from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Entity, FeatureView, Source
from skewless.errors import CorruptData
from skewless.state.blob import decode, encode, tile_bytes
from skewless.state.header import HEADER, layout_mark, read_header
from skewless.state.layout import StateLayout
from skewless.state.prepend import Inserter
from skewless.state.tiles import Tiles, folded_to
from skewless.state.update import Replacement
from tests.state.states import (
    SCHEMA,
    SOURCE,
    WHOLE,
    Row,
    answers,
    bits,
    every_column,
    layout_of,
    plain,
    row_set,
    updated,
    windows,
)

EVERY = every_column()
LAYOUT = layout_of(EVERY)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63)


@st.composite
def kept_rows(draw):
    """Rows of up to four entities, with nulls anywhere; each entity has one at least."""
    rows = []
    for group in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(1, 6))):
            null = draw(st.sets(st.sampled_from([name for name in SCHEMA if name != "key"])))
            values = WHOLE | dict.fromkeys(null)
            values["word"] = None if "word" in null else draw(st.text(max_size=5))
            values["x"] = None if "x" in null else draw(st.floats(allow_nan=False))
            event = draw(st.integers(-(2**62), 2**62))
            known = draw(st.integers(0, 2**62))
            rows.append(Row(values, event, known, len(rows) + 1, group))
    return rows


@st.composite
def corrected_rows(draw):
    """The same packed, some of them replaced at some time."""
    rows = row_set(LAYOUT, draw(kept_rows()))
    at = draw(
        st.lists(st.integers(0, 2**62) | st.just(NEVER), min_size=len(rows), max_size=len(rows))
    )
    rows.superseded[:] = at
    return rows


def blobs_of(rows, floor=-5):
    groups = int(rows.group[-1]) + 1
    numbers = np.arange(groups)
    return encode(rows, layout_mark(LAYOUT.fingerprint), numbers + 7, numbers * 0 + floor)


# ---------------------------------------------------------------------------------------- laws


@given(corrected_rows())
def test_what_is_encoded_is_decoded(rows):
    blobs = blobs_of(rows)
    again = decode(LAYOUT.slots, blobs)
    assert again.records.tobytes() == rows.records.tobytes()
    assert again.group.tolist() == rows.group.tolist()
    assert again.superseded.tolist() == rows.superseded.tolist()
    assert again.tails == rows.tails
    assert blobs_of(again) == blobs
    for number, blob in enumerate(blobs):
        header = read_header(blob)
        assert (header.sequence, header.floor) == (number + 7, -5)
        assert header.rows == int((rows.group == number).sum())


@given(kept_rows())
def test_every_value_of_every_type_reads_back(rows):
    packed = decode(LAYOUT.slots, blobs_of(row_set(LAYOUT, rows)))
    ordered = sorted(rows, key=lambda row: (row.group, *row.order))
    names = [expression.to_dict()["column"] for expression in LAYOUT.expressions]
    assert sorted(names) == sorted(name for name in SCHEMA if name != "key")
    for slot, name in enumerate(names):
        expected = [row.values[name] for row in ordered]
        assert list(map(repr, packed.values(slot))) == list(map(repr, expected))
        assert [repr(packed.value(at, slot)) for at in range(len(rows))] == list(
            map(repr, expected)
        )


@given(kept_rows())
def test_the_state_of_many_rows_is_that_of_its_entity_alone(rows):
    together = blobs_of(row_set(LAYOUT, rows))
    for group, blob in enumerate(together):
        own = [dataclasses.replace(row, group=0) for row in rows if row.group == group]
        (alone,) = blobs_of(row_set(LAYOUT, own))
        assert HEADER.unpack_from(alone)[:6] == HEADER.unpack_from(blob)[:6]
        assert alone[HEADER.size :] == blob[HEADER.size :]


@given(st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(-1, 9), st.integers(-(2**40), 2**40)),
    st.lists(NUMBERS, max_size=8), max_size=6,
), st.integers(-(2**62), 2**62))  # fmt: skip
def test_tiles_read_back(values, folded):
    tiles = Tiles(folded)
    for place, numbers in values.items():
        for number in numbers:
            tiles.add(*place, number)
    data = tiles.to_bytes()
    again = Tiles.from_bytes(data)
    assert again.to_bytes() == data
    assert (again.folded, folded_to(b"rows" + data)) == (folded, folded)
    assert {key: state.to_bytes() for key, state in again.sums.items()} == {
        key: summed(numbers).to_bytes() for key, numbers in values.items() if numbers
    }


def summed(numbers):
    state = ExactSum()
    for number in numbers:
        state.add(number)
    return state


@given(corrected_rows(), st.data())
def test_a_state_that_was_cut_is_refused_or_answers_nothing_wrong(rows, data):
    """A cut anywhere is an error, never a shorter text or a row less."""
    blob = data.draw(st.sampled_from(blobs_of(rows)))
    cut = blob[: data.draw(st.integers(0, len(blob) - 1))]
    with pytest.raises(CorruptData):
        decode(LAYOUT.slots, [cut])


def test_tiles_that_were_cut_are_refused():
    view = windows()
    layout = layout_of(view)
    rows = [Row(plain(n, x=float(n), word="w", flag=True), n, n, n + 1) for n in range(40)]
    data = tile_bytes(updated(layout, None, rows, floor=39), layout.record.itemsize)
    assert len(Tiles.from_bytes(data).sums) > 3
    for size in range(len(data)):
        with pytest.raises(CorruptData):
            Tiles.from_bytes(data[:size])


def test_a_state_of_another_version_is_refused_with_what_to_do():
    (blob,) = blobs_of(row_set(LAYOUT, [Row(WHOLE, 1, 1, 1)]))
    with pytest.raises(CorruptData, match=r"another version.*Got: 9.*skewless materialize"):
        decode(LAYOUT.slots, [b"\x09" + blob[1:]])


# ----------------------------------------------------------------------------------- frozen samples

SAMPLES = sorted((Path(__file__).parent / "samples").glob("state-*.json"))
MOMENTS = (0, 3, 9, 10, 14, 20, 25, 26, 35, 60)


def opened(path):
    """A sample: its view, its layout as its store described it, and the rest of it."""
    sample = json.loads(path.read_text(encoding="utf-8"))
    layout = StateLayout.from_dict(sample["layout"])
    source = Source.from_dict(sample["source"])
    entity = Entity.from_dict(sample["entity"])
    return FeatureView.from_dict(sample["view"], entity, source), layout, sample


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_states_written_by_older_versions_answer_as_they_did(path):
    view, layout, sample = opened(path)
    for state, expected in zip(sample["states"], sample["answers"], strict=True):
        blob = bytes.fromhex(state)
        for t, values in expected.items():
            assert answers(view, layout, blob, int(t)) == values


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_states_written_by_older_versions_lie_in_the_table_of_today(path):
    """Else an upgrade would leave every state behind and serve nothing until it is rebuilt."""
    view, layout, sample = opened(path)
    assert layout.table == sample["table"]
    assert layout_of(view).table == sample["table"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_states_written_by_older_versions_take_new_rows(path):
    view, layout, sample = opened(path)
    inserter = Inserter(layout)
    for state, expected in zip(sample["states"], sample["answers"], strict=True):
        blob = bytes.fromhex(state)
        row = Row(WHOLE | {"x": 4.0, "at": None}, 100, 100, 1_000)
        quick = inserter.add(blob, *_added(inserter, row))
        slow = updated(layout, blob, [row], floor=60)
        assert quick is None or answers(view, layout, quick, 110) == answers(
            view, layout, slow, 110
        )
        assert answers(view, layout, slow, 60) == expected["60"]


def _added(inserter, row):
    record, tails = inserter.record(row.values, row.order)
    return record, row.order, tails


def test_this_version_writes_what_its_sample_holds():
    """Fails when the bytes of states change: then there is a new version, and a new sample."""
    for made in samples():
        path = Path(__file__).parent / "samples" / f"{made['name']}.json"
        assert json.loads(path.read_text(encoding="utf-8")) == made


def samples():
    """The samples of this version."""
    rows = [
        Row(plain(number, x=x, word=word, flag=flag), event, event + late, number + 1)
        for number, (event, late, x, word, flag) in enumerate((
            (0, 0, 0.1, "a", True), (2, 0, -0.0, "", None), (3, 4, None, "ä", True),
            (9, 0, 1e15, None, False), (10, 0, 0.2, "b", True), (14, 8, -1e15, "b", True),
            (24, 0, 5e-324, "a", False), (25, 0, 2.5, "c", True),
        ))
    ]  # fmt: skip
    whole = [Row(WHOLE, 5, 5, 1), Row(dict.fromkeys(SCHEMA), 6, 8, 2), Row(WHOLE, 6, 6, 3)]
    gone = [Replacement(0, 3, 26), Replacement(0, 8, 30)]
    yield _sample("state-1-columns", EVERY, [(whole, ALWAYS, []), (whole[:1], ALWAYS, [])])
    every = [(rows, ALWAYS, []), (rows, ALWAYS, gone), (rows, 26, []), (rows[:1], 0, [])]
    yield _sample("state-1-windows", windows(), every)


def _sample(name, view, states):
    layout = layout_of(view)
    blobs = [updated(layout, None, rows, floor, gone) for rows, floor, gone in states]
    return {
        "name": name,
        "table": layout.table,
        "layout": json.loads(json.dumps(layout.to_dict(), default=str)),
        "source": json.loads(json.dumps(SOURCE.to_dict(), default=str)),
        "entity": view.entity.to_dict(),
        "view": json.loads(json.dumps(view.to_dict(), default=str)),
        "states": [blob.hex() for blob in blobs],
        "answers": [
            {str(t): answers(view, layout, blob, t) for t in MOMENTS if t >= read_header(blob).floor}
            for blob in blobs
        ],
    }  # fmt: skip


def test_there_are_samples_to_open():
    assert [path.stem for path in SAMPLES] == ["state-1-columns", "state-1-windows"]
    assert bits(-0.0) != bits(0.0)


if __name__ == "__main__":  # python -m tests.state.test_round_trips writes those of a new version
    for made in samples():
        path = Path(__file__).parent / "samples" / f"{made['name']}.json"
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
