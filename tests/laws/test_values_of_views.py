"""The values of views as rows: on every path what the reference engine makes of the rows behind."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import from_micros, to_micros
from skewless.engines.reference_values import value_rows
from skewless.testing.clock import SettableClock
from tests.laws.test_derived import MINUTE, SCHEMA, WAFER, Act, Life, acts

EVERYTHING = sl.Entity("everything")
FORMS = ("bounded", "endless", "left", "of all", "lagged")


@dataclass
class Case:
    """Definitions over dies: a view, and views over its values."""

    form: str
    row_id: str | tuple[str, ...] | None
    dies: sl.Source = field(init=False)
    base: sl.FeatureView = field(init=False)
    views: tuple[sl.FeatureView, ...] = field(init=False)

    def __post_init__(self) -> None:
        dies = sl.Source("dies", schema=SCHEMA, event_time="at", row_id=self.row_id, delay="1m")
        options: dict[str, Any] = {"entity": WAFER}
        features = {
            "total": dies.vdd.sum("2m"),
            "many": dies.count("90s"),
            "before": dies.vdd.max("1m", offset="1m"),
            "share": dies.where(dies.bin == "a").count("2m") / dies.count("2m"),
        }
        if self.form == "bounded":
            options["where"] = dies.bin != "none"
            features |= {"coarse": dies.vdd.sum("2m", resolution="1m")}
            features |= {"blocks": dies.count(sl.tumbling("1m"))}
        elif self.form == "endless":
            features |= {
                "mean": dies.vdd.mean(last=2),
                "newest": dies.bin.latest(),
                "ever": dies.vdd.sum(sl.lifetime()),
                "visit": dies.count(sl.session("1m")),
                "bins": dies.vdd.sum("2m", by="bin"),
            }
        elif self.form == "left":
            options["closed"] = "left"
        elif self.form == "lagged":
            options |= {"lag": "1m", "entity": sl.Entity("piece", piece=str)}
            options["on"] = {"piece": "wafer"}
        else:
            options["entity"] = EVERYTHING
        self.dies = dies
        self.base = sl.FeatureView("Base", source=dies, features=features, **options)
        values = sl.Source.of(self.base)
        found = {
            "greatest": values.total.max("3m"),
            "drift": values.many.mean("2m") - values.many.mean(last=4),
            "all": values.share.last_n(5),
            "count": values.count(sl.lifetime()),
            "newest": values.many.latest(),
        }
        entity = options["entity"]
        self.views = (sl.FeatureView("Over", entity=entity, source=values, features=found),)


cases = st.builds(Case, st.sampled_from(FORMS), st.sampled_from(["die", ("wafer", "die"), None]))


class Valued(Life):
    """A store in which things happen, and what the reference makes of the account of them."""

    case: Any

    def behind(self, view: sl.FeatureView) -> list[Any]:
        return value_rows(self.case.base, self.ledger.log)

    def keys(self, view: sl.FeatureView) -> list[dict[str, Any]]:
        if not view.entity.key_names:
            return [{}]
        return [{view.entity.key_names[0]: name} for name in ("w1", "w2")]


@settings(max_examples=max(20, settings().max_examples // 3))
@given(case=cases, acts=acts, cached=st.booleans())
def test_every_path_has_what_the_reference_engine_makes_of_the_rows_behind(
    case: Case, acts: list[Act], cached: bool
) -> None:
    with TemporaryDirectory() as folder:
        life = Valued(folder, case, cached=cached)  # type: ignore[arg-type]
        (view,) = case.views
        for act in acts:
            life.act(act)
            assert life.expected(view, life.clock.time) == life.online(view)
        life.check_training(view, {*life.moments, life.clock.time - 90 * 1_000_000})
        back = life.clock.time - 4 * MINUTE
        assert life.expected(view, back) == life.online(view, back)
        life.fs.backfill()
        assert life.expected(view, life.clock.time) == life.online(view)
        life.fs.close()


@settings(max_examples=max(20, settings().max_examples // 3))
@given(case=cases, acts=acts)
def test_rows_one_by_one_and_rows_that_were_there_before_the_definition_give_the_same(
    case: Case, acts: list[Act]
) -> None:
    Valued.check_cuts(case, acts)


TX = sl.Source(
    "tx", schema={"id": str, "payer": str, "amount": float}, event_time="at", row_id="id"
)
ACCOUNT = sl.Entity("account", account_id=str)
NOON = to_micros("2026-01-31T12:00:00Z")


@sl.feature_view(entity=ACCOUNT, source=TX, on={"account_id": "payer"}, where=TX.amount > 0)
class Spend:
    hourly = TX.amount.sum("1h")
    many = TX.count("1h")


VALUES = sl.Source.of(Spend, name="spends", owner="fraud")


@sl.feature_view(entity=ACCOUNT, source=VALUES)
class Over:
    mean = VALUES.hourly.mean("1d")
    newest = VALUES.latest("*")


def test_explain_and_lineage_go_through_to_the_rows(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        plan = fs.plan(Over)
        assert "each push reads rows of its entities within 1h of its own" in str(plan)
        fs.apply(plan)
        rows = [
            {"id": str(n), "payer": "a", "amount": float(n), "at": from_micros(NOON - n * MINUTE)}
            for n in (61, 3, 0, 1)
        ]
        fs.push(TX, rows, backdate=True)
        explained = fs.explain(Over.mean, {"account_id": "a"})
        assert explained.value == (61 + 64 + 4) / 3  # the row of amount 0 does not count
        assert "is made of 2 rows of tx" in str(explained)
        found = str(fs.lineage("Over:mean"))
        assert "tx.amount -> spends.hourly  aggregation (sum over sliding 1h)" in found
        assert "tx.payer -> spends.account_id" in found
        assert fs.plan(Over).is_empty
        assert Over.features == ("mean", "hourly", "many")


def test_an_embedded_store_is_closed_and_opened_between(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    for n in range(3):
        with sl.FeatureStore(tmp_path, clock=clock) as fs:
            fs.apply(Over)
            row = {"id": str(n), "payer": "a", "amount": 1.0, "at": from_micros(NOON - MINUTE)}
            fs.push("tx", [row])
            assert fs.get_online_features(Over, {"account_id": "a"})["mean"][0] == n + 1.0
            fs.compact()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: sl.Source.of(TX), "those of a feature view"),  # type: ignore[arg-type]
        (lambda: sl.Source.of(Spend.of(account_id="payee", prefix="p_")), "are of a role"),
        (lambda: VALUES.source_row, "no column 'source_row'"),
        (lambda: sl.Source.of(clashing()), "'at' from their rows"),
    ],
)
def test_what_is_no_source_of_values_is_said_where_it_is_written(wrong: Any, said: str) -> None:
    with pytest.raises((sl.DefinitionError, AttributeError), match=said):
        wrong()


def test_a_view_that_has_other_values_is_another_source(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        fs.apply(Over)
        features = {"hourly": TX.amount.max("1h"), "many": TX.count("1h")}
        on = {"account_id": "payer"}
        other = sl.FeatureView("Spend", entity=ACCOUNT, source=TX, on=on, features=features)
        values = sl.Source.of(other, name="spends")
        with pytest.raises(sl.DefinitionError, match="would be made otherwise"):
            fs.plan(values)
        with pytest.raises(sl.InputError, match="rows of 'spends' are derived"):
            fs.push("spends", [{"account_id": "a"}])


def clashing() -> sl.FeatureView:
    features = {"at": TX.count("1h")}
    on = {"account_id": "payer"}
    return sl.FeatureView("Clash", entity=ACCOUNT, source=TX, on=on, features=features)
