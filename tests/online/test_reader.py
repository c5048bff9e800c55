"""Features are read online in one way: plan, read, check, assemble."""

import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import InputError, StoreUnavailable
from skewless.online.loss_detection import HELD
from skewless.online.reader import OnlineReader, Outdated
from skewless.online.storage import is_states
from skewless.online.tables import TABLES
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryStore

SOURCES = Path(sl.__file__).parent
NOW = 1_767_261_600_000_000
card = sl.Entity("card", card_id=str)
shop = sl.Entity("shop", shop_id=str)
pays = sl.Source(
    "pays",
    schema={"card_id": str, "shop_id": str, "x": float, "n": int, "word": str},
    event_time="at",
)


@sl.feature_view(entity=card, source=pays)
class Newest:
    values = pays.latest("x", "n", "word")


@sl.feature_view(entity=card, source=pays)
class Spend:
    total = pays.x.sum("1h")
    word_count = pays.word.n_unique(last=5)


@sl.feature_view(entity=shop, source=pays)
class Shop:
    visits = pays.count("1h")
    last = pays.x.latest()


@sl.on_demand
class Share:
    of_shop = Spend.total / Shop.last


FEATURES = [
    "Newest:x", "Newest:n", "Newest:word", "Spend:total", "Spend:word_count",
    "Shop:visits", "Shop:last", "Share:of_shop",
]  # fmt: skip
ROWS = [
    {"card_id": f"c{number % 3}", "shop_id": f"s{number % 2}", "x": number / 4 + 1, "n": number,
     "word": f"w{number % 2}", "at": NOW - number * 1_000_000}
    for number in range(9)
]  # fmt: skip
ENTITIES = [
    {"card_id": "c0", "shop_id": "s0"}, {"card_id": "c1", "shop_id": "s9"},
    {"card_id": "c9", "shop_id": "s1"}, {"card_id": "c0", "shop_id": "s1"},
]  # fmt: skip


class ForgetfulStore(MemoryStore):
    """A store across the network, without transactions, that may lose what it has acknowledged."""

    capabilities = replace(
        MemoryStore.capabilities, transactions=False, compare_and_set=False, durable=False
    )


def filled(folder: Path, online: MemoryStore | None = None) -> sl.FeatureStore:
    fs = sl.FeatureStore(folder, clock=SettableClock(NOW), online=online)
    fs.apply(fs.plan(Newest, Spend, Shop, Share))
    rows = [row | {"at": from_micros(row["at"])} for row in ROWS]
    fs.push("pays", rows, backdate=True)
    return fs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> sl.FeatureStore:
    with filled(tmp_path_factory.mktemp("reader")) as fs:
        yield fs


# ----------------------------------------------------------------------------------------- one way


@pytest.mark.parametrize("call", [r"\.assemble\(", r"\bLookup\("])
def test_nobody_else_reads_states_or_compiles_lookups(call: str) -> None:
    """The store facade, HTTP, Feast's contract, explain, verify and generated traffic call the reader."""
    users = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if re.search(call, path.read_text())
    }
    # A lookup table, of definitions, is another thing than the compiled lookup of a read.
    assert users - {"plan/lookup.py", "definitions/lookup.py"} == {"online/reader.py"}


@given(order=st.permutations(FEATURES), cut=st.integers(1, len(FEATURES)))
def test_the_order_of_features_changes_no_value(
    store: sl.FeatureStore, order: list[str], cut: int
) -> None:
    every = store.get_online_features(FEATURES, ENTITIES)
    some = store.get_online_features(order[:cut], ENTITIES)
    at = [FEATURES.index(name) for name in order[:cut]]
    assert some.values == [[row[place] for place in at] for row in every.values]
    assert some.statuses == [[row[place] for place in at] for row in every.statuses]
    assert some.events == [[row[place] for place in at] for row in every.events]


def test_a_list_of_features_is_compiled_once(store: sl.FeatureStore) -> None:
    reader = store.runtime.reader
    assert reader.lookup(FEATURES, False) is reader.lookup(list(FEATURES), False)
    assert reader.lookup("Spend", False) is reader.lookup(Spend, False)
    assert reader.lookup("Spend", False) is not reader.lookup("Spend", True)


def test_features_are_asked_for_as_objects_after_they_were_by_name(
    store: sl.FeatureStore,
) -> None:
    by_name = store.get_online_features(["Spend:total", "Newest:word"], [{"card_id": "c1"}])
    for _ in range(2):
        found = store.get_online_features([Spend.total, Newest.word], [{"card_id": "c1"}])
        assert found.to_rows() == by_name.to_rows()


@pytest.mark.parametrize("who", [["c0"] * 4, ["c0", "c0", "c1", None], ["nobody"] * 4], ids=str)
def test_candidates_of_one_entity_have_what_each_alone_has(
    store: sl.FeatureStore, who: list[str | None]
) -> None:
    asked = [
        {"card_id": c, "shop_id": s} for c, s in zip(who, ["s0", "s1", "s0", "x"], strict=True)
    ]
    together = store.get_online_features(FEATURES, asked)
    for number, alone in enumerate(asked):
        found = store.get_online_features(FEATURES, [alone])
        for part in ("values", "statuses", "events"):
            assert getattr(together, part)[number] == getattr(found, part)[0]
    for part in (together.values, together.statuses, together.events):
        assert len({id(row) for row in part}) == len(asked)  # nobody's row is another's


def test_several_moments_are_answered_out_of_one_read(store: sl.FeatureStore) -> None:
    reader = store.runtime.reader
    lookup = reader.lookup(FEATURES, False)
    moments = [NOW, NOW - 3_000_000, NOW - 3_600_000_000]
    now, then, beyond = reader.read_at(lookup, ENTITIES, moments)
    assert now == reader.read(lookup, ENTITIES, NOW)
    assert then == reader.read(lookup, ENTITIES, moments[1])
    assert then != now
    assert isinstance(beyond, InputError)


# ------------------------------------------------------------------------------------------ misses


def test_a_read_of_a_dropped_table_is_compiled_anew(tmp_path: Path) -> None:
    with filled(tmp_path) as fs:
        lookup = fs.runtime.reader.lookup(["Spend:total"], False)
        for reader in (OnlineReader(fs.runtime), OnlineReader(fs.runtime, waits=False)):
            reader.refresh()
        (part,) = lookup.parts
        record = fs.runtime.journal.read_one(TABLES, part.table.encode())
        assert record is not None
        fs.runtime.journal.delete(TABLES, [part.table.encode()])
        fs.runtime.journal.drop(part.table)
        with pytest.raises(Outdated):
            reader.read(lookup, ENTITIES, NOW)
        fs.apply(fs.plan(Newest, Spend, Shop, Share))  # another table takes its place
        reader.refresh()
        found, statuses, _ = reader.read(reader.newer(lookup), ENTITIES[:1], NOW)
        assert (found, statuses) == ([[None]], [["building"]])


@pytest.mark.parametrize("features", [["Spend:total"], ["Newest:x"], FEATURES])
def test_no_read_says_unknown_after_the_store_lost_its_rows(
    tmp_path: Path, features: list[str]
) -> None:
    online = ForgetfulStore()
    with filled(tmp_path, online) as fs:
        assert fs.get_online_features(features, ENTITIES).statuses[2][0].value == "unknown"
        for table in online.tables():
            if is_states(table) or table == HELD:
                online.drop(table)
        with pytest.raises(StoreUnavailable, match="lost its rows"):
            fs.get_online_features(features, ENTITIES[:1])


def test_what_is_kept_of_lists_that_nobody_asks_for_twice_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.online.reader.MOST_LOOKUPS", 4)
    with filled(tmp_path, ForgetfulStore()) as fs:
        snapshot = fs.runtime.reader.current()
        for order in list(permutations(FEATURES[:5]))[:30]:
            fs.get_online_features(list(order), ENTITIES[:1])
        assert fs.runtime.reader.current() is snapshot
        assert len(snapshot._lookups) <= 5
        assert len(snapshot.checked) <= 4
