"""States built by processes: byte for byte those that a build on one machine gives."""

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.materialize.verbs import materialize
from skewless.testing.clock import SettableClock
from skewless.testing.engine_cases import CARD, SHOP, case_of, source_of, view_of
from tests.testing.test_plug_ins_page import ProcessEngine

NOW = 70  # microseconds, as are the times of the rows


class Watched(ProcessEngine):
    """Does something between the batches of states that have come and their being written."""

    between = staticmethod(lambda: None)

    def stream(self, rows):
        for batch in super().stream(rows):
            self.between()
            yield batch


@pytest.fixture(scope="module")
def processes():
    with Watched(memory=0) as engine:
        yield engine


@pytest.fixture(params=[None, "id"], ids=["rows", "corrected rows"])
def repo(tmp_path, request):
    """A repo with a table of files and some pushed rows; nothing is built."""
    source = source_of(tmp_path, row_id=request.param)
    case_of(source, tmp_path, 1)
    both = sl.Entity("both", card_id=str, shop_id=int)
    simple = {"total": source.x.sum("20us"), "rows": source.count(sl.lifetime())}
    simple |= {"mean": source.x.mean(sl.lifetime()), "last": source.n.last_n(3, last=3)}
    # Card has sessions, which rows may join, and Shop tiles.
    views = [view_of("Card", CARD, source, 1), view_of("Both", both, source, 3, count=6)]
    views.append(sl.FeatureView("Shop", entity=SHOP, source=source, features=simple))
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan([source, *views]), build=False)
        fs.push("rows", [row(number) for number in range(40)])
        yield fs


def row(number, **more):
    return {
        "card_id": f"c{number % 4}", "shop_id": number % 3, "x": number / 7, "n": number,
        "word": "ab"[number % 2], "flag": True, "id": f"i{number % 30}",
        "at": from_micros(number), "seen": from_micros(number + 2),
    } | more  # fmt: skip


def states_of(fs):
    return {name: dict(fs.runtime.online.scan(name)) for name in fs.runtime.tables().tables}


def reads_of(fs):
    """What every entity's features are, of every view."""
    entities = [{"card_id": f"c{n}", "shop_id": shop} for n in range(6) for shop in range(4)]
    found = [fs.get_online_features(name, entities) for name in ("Card", "Shop", "Both")]
    return [(each.to_dict(), each.to_statuses()) for each in found]


def test_states_are_byte_for_byte_those_of_a_build_here(repo, processes):
    repo.materialize(engine=processes)
    built = states_of(repo)
    assert sum(map(len, built.values())) > 10
    materialize(repo.runtime, None, None, None, everything=True)
    assert states_of(repo) == built


def test_rows_that_are_pushed_while_processes_build_count_once(repo, processes, monkeypatch):
    pushed = iter(range(100, 200))

    def push():
        number = next(pushed)
        new = row(number % 50, id=f"new{number}", card_id=f"c{number % 6}")
        repo.push("rows", [new, row(3, n=number)])  # the second one corrects, where there are ids

    monkeypatch.setattr(processes, "between", push)
    repo.materialize(engine=processes)
    assert next(pushed) > 101
    now = reads_of(repo)
    assert all("building" not in str(statuses) for _, statuses in now)
    materialize(repo.runtime, None, None, None, everything=True)
    assert reads_of(repo) == now


def test_states_stay_as_they_were_where_a_build_fails(repo, processes, monkeypatch):
    repo.materialize()
    before, values = states_of(repo), reads_of(repo)

    def fail():
        raise OSError("no worker is left")

    monkeypatch.setattr(processes, "between", fail)
    with pytest.raises(OSError, match="no worker is left"):
        materialize(repo.runtime, None, None, None, everything=True, engine=processes)
    assert states_of(repo) == before
    assert reads_of(repo) == values


def test_entities_that_history_no_longer_has_are_removed(repo, processes):
    repo.materialize(engine=processes)
    before = states_of(repo)
    name = next(iter(before))
    state = next(iter(before[name].values()))
    repo.runtime.online.write(name, [(b"nobody knows", state)])
    materialize(repo.runtime, None, None, None, everything=True, exactly=True, engine=processes)
    assert states_of(repo) == before
