"""Sources derived of derived sources: on every path what the reference makes of it, step by step."""

from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import SECOND
from skewless.definitions.valued_view import view_of
from skewless.engines.reference import HistoryRow, derived_rows
from skewless.engines.reference_values import value_rows
from tests.laws.test_derived import SCHEMA, WAFER, Act, Life, acts

LOT = sl.Entity("lot", lot=str)
FORMS = ("groups of groups", "values of groups", "groups of values", "values of values")


def rows_of(source: sl.Source, log: list[HistoryRow]) -> list[HistoryRow]:
    """Return what the reference makes of the log of the first source of a chain."""
    by = source.derivation
    if by is None:
        return log
    rows = rows_of(by.base, log)
    return derived_rows(source, rows) if by.view is None else value_rows(view_of(by, by.base), rows)


def _wafers(dies: sl.Source) -> sl.Source:
    @sl.derived(
        source=dies, by=("wafer", "lot"), rows=2, most=4, returns={"spread": float, "first": str}
    )
    def wafers(rows):
        if rows["bin"][0] == "none":
            return None
        return {"spread": rows["vdd"][-1] - rows["vdd"][0], "first": rows["bin"][0]}

    return wafers


def _values(dies: sl.Source) -> sl.Source:
    features = {
        "spread": dies.vdd.sum("2m"),
        "first": dies.bin.latest(),
        "many": dies.count("90s"),
    }
    lot = sl.Entity("piece", wafer=str, lot=str)
    return sl.Source.of(sl.FeatureView("Base", entity=lot, source=dies, features=features))


def _lots(wafers: sl.Source) -> sl.Source:
    """A row of the wafers of a lot, in which their order counts."""

    @sl.derived(
        source=wafers,
        by="lot",
        rows=1,
        most=100,
        returns={"spreads": sl.List(float), "firsts": str, "last": str},
    )
    def lots(rows):
        return {
            "spreads": rows["spread"],
            "firsts": "".join(each or "-" for each in rows["first"]),
            "last": rows["wafer"][-1],
        }

    return lots


@dataclass
class Case:
    """Definitions over dies: something derived, something derived of that, and views over both."""

    form: str
    row_id: str | tuple[str, ...] | None
    dies: sl.Source = field(init=False)
    views: tuple[sl.FeatureView, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.dies = sl.Source(
            "dies", schema=SCHEMA, event_time="at", row_id=self.row_id, delay="1m"
        )
        last, first = self.form.split(" of ")
        wafers = _wafers(self.dies) if first == "groups" else _values(self.dies)
        of_wafer = {"spread": wafers.spread.latest(), "count": wafers.count("3m")}
        views = [sl.FeatureView("OfWafer", entity=WAFER, source=wafers, features=of_wafer)]
        if last == "groups":
            lots = _lots(wafers)
            of_lot = {
                "spreads": lots.spreads.latest(),
                "firsts": lots.firsts.last_n(3),
                "last": lots["last"].latest(),
            }
            deepest = sl.Source.of(
                sl.FeatureView("OfLot", entity=LOT, source=lots, features=of_lot)
            )
            third = {"ever": deepest.count(sl.lifetime()), "firsts": deepest.firsts.last_n(2)}
        else:
            features = {
                "total": wafers.spread.sum("2m"),
                "ever": wafers.count(sl.lifetime()),
                "newest": wafers.wafer.latest(),
            }
            deepest = sl.Source.of(
                sl.FeatureView("OfLot", entity=LOT, source=wafers, features=features)
            )
            third = {
                "greatest": deepest.total.max("3m"),
                "steps": deepest.ever.last_n(4),
                "newest": deepest.newest.last_n(3),
            }
        views.append(sl.FeatureView("Third", entity=LOT, source=deepest, features=third))
        self.views = tuple(views)


cases = st.builds(Case, st.sampled_from(FORMS), st.sampled_from(["die", ("wafer", "die"), None]))


class Chain(Life):
    """A store in which things happen, and what the reference makes of the account of them."""

    def behind(self, view: sl.FeatureView) -> list[Any]:
        return rows_of(view.source, self.ledger.log)

    def keys(self, view: sl.FeatureView) -> list[dict[str, Any]]:
        return [{n: f"{n[0]}{at}" for n in view.entity.key_names} for at in (1, 2)]


@settings(max_examples=max(12, settings().max_examples // 6))
@given(case=cases, acts=acts, cached=st.booleans())
def test_every_path_has_what_the_reference_makes_of_the_rows_behind_the_rows(
    case: Case, acts: list[Act], cached: bool
) -> None:
    with TemporaryDirectory() as folder:
        life = Chain(folder, case, cached=cached)  # type: ignore[arg-type]
        for act in acts:
            life.act(act)
            for view in case.views:
                assert life.expected(view, life.clock.time) == life.online(view)
        for view in case.views:
            life.check_training(view, {*life.moments, life.clock.time - 90 * SECOND})
        life.fs.backfill()
        for view in case.views:
            assert life.expected(view, life.clock.time) == life.online(view)
        life.fs.close()


@settings(max_examples=max(12, settings().max_examples // 6))
@given(case=cases, acts=acts)
def test_rows_one_by_one_and_rows_that_were_there_before_the_definition_give_the_same(
    case: Case, acts: list[Act]
) -> None:
    Chain.check_cuts(case, acts)
