"""Planning reads definitions and nothing else: no script is run as a program, nor twice."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.cli.plan import estimates
from skewless.errors import DefinitionError

SCRIPT = """
from pathlib import Path
import skewless as sl

with open({count!r}, "a") as file:
    file.write("read ")
card = sl.Entity("card", card_id=str)
pays = sl.Source("pays", schema={{"card_id": str, "amount": float}}, event_time="at")
Spend = sl.FeatureView("Spend", entity=card, source=pays, features={{"n": pays.count("1h")}})
"""
STORE = """
fs = sl.FeatureStore({folder!r})
fs.apply(Spend)
fs.push("pays", [{{"card_id": "c1", "amount": 1.0, "at": "2026-01-01T00:00:00Z"}}])
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    return SCRIPT.format(count=str(tmp_path / "count.txt"))


def test_a_script_that_uses_the_store_is_an_error_with_the_remedy(tmp_path, script):
    (tmp_path / "quick.py").write_text(script + STORE.format(folder=str(tmp_path)))
    with (
        sl.FeatureStore(tmp_path) as fs,
        pytest.raises(DefinitionError, match=r"(?s)quick\.py opens a feature store.*__main__"),
    ):
        fs.plan()
    guarded = "".join(f"    {line}\n" for line in STORE.format(folder=str(tmp_path)).splitlines())
    (tmp_path / "quick.py").write_text(f"{script}\nif __name__ == '__main__':\n{guarded}")
    with sl.FeatureStore(tmp_path) as fs:
        assert [step.action for step in fs.plan().steps] == ["added"] * 3


def test_files_are_read_once_for_a_plan_and_its_estimates(tmp_path, script):
    (tmp_path / "quick.py").write_text(script)
    with sl.FeatureStore(tmp_path) as fs:
        estimates(fs, fs.plan())
    assert (tmp_path / "count.txt").read_text() == "read "


def test_a_repo_without_files_removes_nothing_unless_it_is_told_to(tmp_path):
    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str}, event_time="at")
    with sl.FeatureStore(tmp_path) as fs:
        assert fs.plan().notes == ()
        fs.apply(
            sl.FeatureView("Spend", entity=card, source=pays, features={"n": pays.count("1h")})
        )
        plan = fs.plan()
        assert plan.is_empty
        assert "nothing is removed" in plan.notes[0]
        assert [step.action for step in fs.plan(removing=True).steps] == ["removed"] * 3
        (tmp_path / "features.py").write_text("")
        assert [step.action for step in fs.plan().steps] == ["removed"] * 3
