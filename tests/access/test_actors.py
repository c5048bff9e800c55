"""Whoever acts on a repo is on record, by the name it gives."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.access.actors import VARIABLE, acting_for, caller, checked_actor, process_actor
from skewless.errors import InputError

CARD = sl.Entity("card", card_id=str)
PAYS = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")


def spend() -> sl.FeatureView:
    return sl.FeatureView(
        "Spend", entity=CARD, source=PAYS, features={"total": PAYS.amount.sum("1h")}
    )


def test_who_is_named_stands_in_history_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "service:nightly")
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(spend())
        fs.materialize()
        assert fs.runtime.registry.history()[0].who.startswith("service:nightly (")
        assert {run.who.partition(" ")[0] for run in fs.runs()} == {"service:nightly"}


def test_without_a_name_it_is_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    kind, _, name = process_actor().partition(":")
    assert kind == "user"
    assert caller().startswith(f"{name}@")


@pytest.mark.parametrize(
    "name", ["ada", "user:", "root:ada", "user:a b", "service:x\n", "user:" + "x" * 121]
)
def test_what_is_no_actor_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not an actor"):
        checked_actor(name)
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(InputError, match=VARIABLE):
        caller()


def test_what_is_done_for_somebody_ends_with_it() -> None:
    before = caller()
    with acting_for("user:ada"):
        assert caller() == f"user:ada ({before})"
    assert caller() == before
