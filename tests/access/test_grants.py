"""Grants: what may be one, what a plan says of them, and which one decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.definitions.grant import CLASSES
from skewless.definitions.repo import Definitions
from skewless.errors import BreakingChange, DefinitionError, UnknownName
from skewless.lineage.access import Access, Asker
from skewless.registry.backup import export, restore
from tests.cli.running import data_of, ran, run_in

CARD = sl.Entity("card", card_id=str)
PAYS = sl.Source(
    "pays",
    event_time="at",
    schema={"card_id": str, "amount": float, "holder": sl.Column(str, pii="direct")},
)
SPEND = sl.FeatureView(
    "Spend",
    entity=CARD,
    source=PAYS,
    features={
        "total": PAYS.amount.sum("1h"),
        "count": PAYS.count("1h"),
        "holder": PAYS.holder.latest(),
        "holders": PAYS.holder.n_unique("1h").declassify("a number"),
    },
)


@sl.on_demand
class Share:
    twice = SPEND.total * 2
    open = (SPEND.total * 0).declassify("says nothing")


ADA, CHECKOUT = Asker("user:ada", frozenset({"risk"})), Asker("service:checkout")


def access(tmp_path: Path, *grants: sl.Grant) -> Access:
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply([SPEND, Share, *grants])
        return Access(fs.runtime.state(fresh=True))


def readable(found: Access, asker: Asker) -> set[str]:
    features = [f"Spend@v1:{name}" for name in SPEND.features]
    features += [f"Share@v1:{name}" for name in Share.features]
    return {f.replace("@v1", "") for f in features if found.decide(asker, f).allowed}


EVERYTHING = {f"Spend:{name}" for name in SPEND.features} | {"Share:twice", "Share:open"}


@pytest.mark.parametrize(
    ("grants", "ada", "checkout"),
    [
        ([], EVERYTHING, EVERYTHING),
        ([sl.Grant("a", to="user:ada", read=SPEND.total)], {"Spend:total"}, set()),
        ([sl.Grant("a", to="group:risk", read=[SPEND])], EVERYTHING - {
            "Spend:holder", "Share:twice", "Share:open"}, set()),
        ([sl.Grant("a", to="*", read="*")], EVERYTHING - {"Spend:holder"},
         EVERYTHING - {"Spend:holder"}),
        ([sl.Grant("a", to="*", read="*", personal="direct"),
          sl.Grant("b", to="service:checkout", read="*", personal="direct", forbid=True)],
         EVERYTHING, EVERYTHING - {"Spend:holder"}),
        ([sl.Grant("a", to="*", read="*"),
          sl.Grant("b", to="group:risk", read="Spend:total", forbid=True)],
         EVERYTHING - {"Spend:holder", "Spend:total", "Share:twice"}, EVERYTHING - {"Spend:holder"}),
        ([sl.Grant("a", to="user:ada", read="*"), sl.Grant("b", to="*", read="*", forbid=True)],
         set(), set()),
        ([sl.Grant("a", to="user:ada", read="Spend:holder", personal=["quasi", "phi"])],
         set(), set()),
    ],
)  # fmt: skip
def test_what_is_not_granted_is_refused_and_forbid_wins(
    tmp_path: Path, grants: list[sl.Grant], ada: set[str], checkout: set[str]
) -> None:
    found = access(tmp_path, *grants)
    assert readable(found, ADA) == ada
    assert readable(found, CHECKOUT) == checkout


def test_groups_and_actors_are_not_taken_for_one_another(tmp_path: Path) -> None:
    found = access(tmp_path, sl.Grant("a", to=["group:risk", "user:ada"], read="*"))
    for nobody in ("", "user:risk", "group:risk2", "service:ada", "user:ada2"):
        assert readable(found, Asker(nobody)) == set(), nobody
    assert readable(found, Asker("", frozenset({"user:ada", "ada", "*"}))) == set()


def test_a_feature_that_is_not_there_is_never_allowed(tmp_path: Path) -> None:
    found = access(tmp_path, sl.Grant("a", to="*", read="*"))
    assert not found.decide(ADA, "Spend@v2:total").allowed
    assert not found.decide(ADA, "Spend@v1:nothing").allowed


def test_everything_takes_one_grant_of_every_class_and_none_that_forbids(tmp_path: Path) -> None:
    whole = sl.Grant("a", to="user:ada", read="*", personal=CLASSES)
    forbids = sl.Grant("b", to="group:risk", read="Spend:count", forbid=True)
    found = access(tmp_path, whole)
    assert found.may_read_everything(ADA)
    assert not found.may_read_everything(CHECKOUT)
    assert not access(tmp_path, whole, forbids).may_read_everything(ADA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []}, {"to": "ada"}, {"to": "user:"}, {"to": "key:1"}, {"to": 7}, {"to": ["*", 7]},
        {"read": []}, {"read": "Spend@v1"}, {"read": "Spend@v1:total"}, {"read": "Sp end"},
        {"read": 7}, {"personal": "secret"}, {"forbid": 1}, {"owner": 7}, {"to": "group:a\nb"},
    ],
)  # fmt: skip
def test_what_is_no_grant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        sl.Grant("g", **{"to": "*", "read": "*"} | wrong)


def test_grants_round_trip() -> None:
    grant = sl.Grant(
        "g", to=["user:a", "*"], read=[SPEND, SPEND.holder], personal=["direct"], forbid=True
    )
    definitions = Definitions.of(SPEND, grant)
    assert Definitions.from_dict(definitions.to_dict()) == definitions


def test_a_plan_shows_what_grants_change(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        first = sl.Grant("risk", to="group:risk", read=[SPEND])
        plan = fs.plan([SPEND, first])
        assert "+ grant risk\n      to: group:risk\n      reads: Spend" in str(plan)
        fs.apply(plan)
        assert fs.plan([SPEND, first]).is_empty
        wider = sl.Grant("risk", to=["group:risk", "*"], read=[SPEND])
        plan = fs.plan([wider])
        assert "~ grant risk: changed access" in str(plan)
        fs.apply(plan)
        assert fs.runtime.state(fresh=True).grants["risk"].to == ("group:risk", "*")


@pytest.mark.parametrize("read", ["Nothing", "Spend:nothing"])
def test_a_grant_of_what_is_not_there_is_refused(tmp_path: Path, read: str) -> None:
    with sl.FeatureStore(tmp_path) as fs, pytest.raises(UnknownName, match="grant 'g'"):
        fs.apply([SPEND, sl.Grant("g", to="*", read=read, forbid=True)])


def test_no_rename_takes_a_view_from_under_a_grant(tmp_path: Path) -> None:
    names = {"read": ["Spend", "Spend:total"], "to": "*", "forbid": True}
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply([SPEND, sl.Grant("g", **names)])
        features = {n: e for n, e in SPEND.expressions.items() if n != "total"}
        features["sum"] = PAYS.amount.sum("1h").describe(was="total")
        renamed = sl.FeatureView("Paid", entity=CARD, source=PAYS, features=features, was="Spend")
        with pytest.raises(UnknownName, match="grant 'g'"):
            fs.apply([renamed, sl.Grant("g", **names)])
        fs.apply([renamed])
        state = fs.runtime.state(fresh=True)
        assert state.grants["g"].read == ("Paid", "Paid:sum")
        assert not Access(state).decide(ADA, "Paid@v1:sum").allowed
        assert fs.plan([sl.Grant("g", to="*", read=["Paid", "Paid:sum"], forbid=True)]).is_empty


REPO = """
import skewless as sl
card = sl.Entity("card", card_id=str)
pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
Spend = sl.FeatureView(
    "Spend", entity=card, source=pays, features={"total": pays.amount.sum("1h")}
)
"""
GRANT = 'risk = sl.Grant("risk", to=["service:checkout", "group:risk"], read=[Spend])\n'


def test_the_command_says_which_grant_decides(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(REPO + GRANT)
    ran(run_in(tmp_path, "apply", "--yes"))
    why = ("access", "why")
    said = ran(run_in(tmp_path, *why, "service:checkout", "Spend:total")).output
    assert said == "service:checkout may read Spend@v1:total: grant 'risk' allows it\n"
    refused = data_of(run_in(tmp_path, *why, "user:ada", "Spend:total", "--json"), 1)
    assert (refused["allowed"], refused["reason"]) == (False, "no grant allows it")
    ran(run_in(tmp_path, *why, "user:ada", "Spend:total", "--group", "risk"))
    ran(run_in(tmp_path, *why, "*", "Spend:total"), 1)
    ran(run_in(tmp_path, *why, "ada", "Spend:total"), 2)
    ran(run_in(tmp_path, *why, "user:ada", "Spend:none"), 2)


def test_the_last_grant_does_not_go_unseen(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(REPO + GRANT)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
    (tmp_path / "features.py").write_text(REPO)
    with sl.FeatureStore(tmp_path) as fs:
        with pytest.raises(BreakingChange, match="every key reads everything"):
            fs.apply(fs.plan())
        assert list(fs.runtime.state(fresh=True).grants) == ["risk"]


def test_grants_are_in_a_backup(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(REPO + GRANT)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
        export(fs.runtime.registry, tmp_path / "copy.json")
    other = tmp_path / "other"
    other.mkdir()
    with sl.FeatureStore(other) as fs:
        restore(fs.runtime.registry, tmp_path / "copy.json")
        assert list(fs.runtime.state(fresh=True).grants) == ["risk"]
