"""Rows of derived sources: on every path what the reference engine makes of the rows behind them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import SECOND, from_micros, to_micros
from skewless.engines.reference import derived_rows, view_values
from skewless.testing.clock import SettableClock
from skewless.testing.lifecycle.ledger import Ledger
from skewless.testing.memory import MemoryCache

MINUTE = 60 * SECOND
START = to_micros("2026-01-31T12:00:00Z")
WAFER, LOT = sl.Entity("wafer", wafer=str), sl.Entity("lot", lot=str)
SCHEMA = {"wafer": str, "lot": str, "die": int, "vdd": float, "bin": str}


@dataclass
class Case:
    """Definitions over dies, and how many a wafer has."""

    rows: int
    most: int
    row_id: str | tuple[str, ...] | None
    dies: sl.Source = field(init=False)
    views: tuple[sl.FeatureView, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.dies = sl.Source(
            "dies", schema=SCHEMA, event_time="at", row_id=self.row_id, delay="1m"
        )

        @sl.derived(
            source=self.dies,
            by=("wafer", "lot"),
            rows=self.rows,
            most=self.most,
            returns={"spread": float, "first": str, "vdds": sl.List(float), "many": int},
        )
        def wafers(rows):
            if len(rows["vdd"]) and rows["bin"][0] == "none":
                return None
            return {
                "spread": rows["vdd"].max() - rows["vdd"].min(),
                "first": rows["bin"][0],
                "vdds": rows["vdd"],
                "many": 100 // (len(rows["vdd"]) - 3),  # raises for three rows
            }

        of_wafer = {
            "spread": wafers.spread.latest(),
            "vdds": wafers.vdds.latest(ttl="2m"),
            "many": wafers.many.sum(sl.lifetime()),
        }
        of_lot = {
            "first": wafers["first"].last_n(3),
            "mean": wafers.spread.mean("3m"),
            "greatest": wafers.spread.max(last=2),
            "count": wafers.count("90s"),
            "session": wafers.count(sl.session("1m")),
        }
        self.views = (
            sl.FeatureView("OfWafer", entity=WAFER, source=wafers, features=of_wafer),
            sl.FeatureView("OfLot", entity=LOT, source=wafers, features=of_lot),
        )


@dataclass(frozen=True)
class Act:
    """Something that happens: rows are pushed, or some are deleted."""

    wait: int
    rows: Sequence[dict[str, Any]]
    backdate: bool
    delete: bool


def _die() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "wafer": st.sampled_from(["w1", "w2", None]),
            "lot": st.sampled_from(["l1", "l1", "l2"]),
            "die": st.integers(0, 3),
            "vdd": st.sampled_from([0.5, 1.0, 1.25, None]),
            "bin": st.sampled_from(["a", "b", "none"]),
            "ago": st.integers(0, 5),
        }
    )


acts = st.lists(
    st.builds(
        Act,
        wait=st.sampled_from([0, 0, 20, 70]),
        rows=st.lists(_die(), min_size=1, max_size=6),
        backdate=st.booleans(),
        delete=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=7,
)
cases = st.sampled_from(
    [Case(2, 3, "die"), Case(1, 9, ("wafer", "die")), Case(3, 4, None), Case(2, 2, ("die",))]
)


class Life:
    """A store in which things happen, and the account that is kept of them."""

    def __init__(
        self, folder: str, case: Case, *, defined: bool = True, cached: bool = False
    ) -> None:
        self.clock = SettableClock(START)
        online = MemoryCache() if cached else None  # it has no transactions: states follow the log
        self.fs = sl.FeatureStore(folder, clock=self.clock, online=online)
        self.case, self.ledger, self.moments = case, Ledger(), [START]
        self.fs.apply(case.views if defined else [case.dies])

    def act(self, act: Act, *, one_by_one: bool = False) -> None:
        self.clock.time += act.wait * SECOND
        now = self.clock.time
        rows = [
            {k: v for k, v in row.items() if k != "ago"}
            | {"at": from_micros(now - row["ago"] * MINUTE)}
            for row in act.rows
        ]
        if act.delete and self.case.dies.row_id:
            ids = [tuple(row[name] for name in self.case.dies.row_id) for row in rows]
            ids = list(dict.fromkeys(given for given in ids if None not in given))
            self.ledger.delete(self.case.dies, ids, now)
            alone = len(self.case.dies.row_id) == 1
            for some in [[each] for each in ids] if one_by_one else [ids]:
                self.fs.delete("dies", [given[0] if alone else given for given in some])
        else:
            if self.case.dies.row_id and "wafer" in self.case.dies.row_id:
                rows = [row for row in rows if row["wafer"] is not None]
            self.ledger.push(self.case.dies, rows, now, backdate=act.backdate)
            for some in [[each] for each in rows] if one_by_one else [rows]:
                self.fs.push("dies", some, backdate=act.backdate)
        self.moments.append(now)

    def keys(self, view: sl.FeatureView) -> list[dict[str, Any]]:
        names = ("w1", "w2") if view.entity is WAFER else ("l1", "l2")
        return [{view.entity.key_names[0]: name} for name in names]

    def behind(self, view: sl.FeatureView) -> list[Any]:
        """The rows of the view's source that the reference makes of those pushed."""
        return derived_rows(view.source, self.ledger.log)

    def expected(self, view: sl.FeatureView, *times: int) -> list[dict[str, Any]]:
        rows = self.behind(view)
        found = [view_values(view, rows, key, t, t) for t in times for key in self.keys(view)]
        return [{name: value for name, (value, _) in each.items()} for each in found]

    def statuses(self, view: sl.FeatureView) -> list[dict[str, str]]:
        found = self.fs.get_online_features(view, self.keys(view)).to_statuses()
        return [{n: found[n][at] for n in view.features} for at in range(len(self.keys(view)))]

    def online(self, view: sl.FeatureView, t: int | None = None) -> list[dict[str, Any]]:
        at = None if t is None else from_micros(t)
        found = self.fs.get_online_features(view, self.keys(view), at=at).to_rows()
        return [{name: row[name] for name in view.features} for row in found]

    def training(self, view: sl.FeatureView, *times: int) -> list[dict[str, Any]]:
        spine = [key | {"t": from_micros(t)} for t in times for key in self.keys(view)]
        found = self.fs.get_historical_features(spine, view, timestamp="t").to_dict()
        return [{n: found[n][at] for n in view.features} for at in range(len(spine))]

    def check_training(self, view: sl.FeatureView, times: set[int]) -> None:
        """Training sets of all moments together and of the first alone have what is expected."""
        first, *others = sorted(times)
        right = self.expected(view, first, *others)
        assert right == self.training(view, first, *others), (view.name, first, others)
        assert right[: len(self.keys(view))] == self.training(view, first), (view.name, first)

    @classmethod
    def check_cuts(cls, case: Any, acts: list[Act]) -> None:
        """Assert that rows one by one, and rows from before the definition, give the same."""
        with TemporaryDirectory() as one, TemporaryDirectory() as two:
            late, single = cls(one, case, defined=False), cls(two, case)
            for act in acts:
                late.act(act)
                single.act(act, one_by_one=True)
            late.fs.apply(case.views)
            for life in (late, single):
                for view in case.views:
                    assert life.expected(view, life.clock.time) == life.online(view)
                    moments = {t - back for t in life.moments for back in (0, MINUTE)}
                    life.check_training(view, moments)
                life.fs.close()


@settings(max_examples=max(20, settings().max_examples // 3))
@given(case=cases, acts=acts, cached=st.booleans())
def test_every_path_has_what_the_reference_engine_makes_of_the_rows_behind(
    case: Case, acts: list[Act], cached: bool
) -> None:
    with TemporaryDirectory() as folder:
        life = Life(folder, case, cached=cached)
        for act in acts:
            life.act(act)
            for view in case.views:
                assert life.expected(view, life.clock.time) == life.online(view)
        for view in case.views:
            life.check_training(view, {*life.moments, life.clock.time - 90 * SECOND})
            back = life.clock.time - 4 * MINUTE
            assert life.expected(view, back) == life.online(view, back)
        before = [life.statuses(view) for view in case.views]
        life.fs.backfill()
        for view, statuses in zip(case.views, before, strict=True):
            assert life.expected(view, life.clock.time) == life.online(view)
            assert life.statuses(view) == statuses
        life.fs.close()


def _row(wafer: str, vdd: float, ago: int) -> dict[str, Any]:
    return {"wafer": wafer, "lot": "l1", "die": 0, "vdd": vdd, "bin": wafer, "ago": ago}


BACK_AGAIN = [
    Act(0, [_row("w1", 0.5, 1), _row("w2", 0.5, 1)], backdate=False, delete=False),
    Act(20, [_row("w1", 1.0, 1)], backdate=False, delete=False),
    Act(0, [_row("w1", 0.5, 1)], backdate=False, delete=False),
]
"""A wafer that changes and is at once what it was: it is a row of its own, known since then."""


@settings(max_examples=max(20, settings().max_examples // 3))
@given(case=cases, acts=acts)
@example(case=Case(1, 9, ("wafer", "die")), acts=BACK_AGAIN)
def test_rows_one_by_one_and_rows_that_were_there_before_the_definition_give_the_same(
    case: Case, acts: list[Act]
) -> None:
    Life.check_cuts(case, acts)
