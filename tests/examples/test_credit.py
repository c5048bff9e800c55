"""The credit example runs from top to bottom, in a process of its own, and says what it found."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from skewless.testing.servers import missing
from tests.cli.running import ran, run_in
from tests.examples.running import EXAMPLES, compared, printed, promises


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    if find_spec("shap") is None:
        missing("SHAP is not installed; tools/get_servers.sh gets it")
    return printed("credit", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_that_its_data_is_synthetic(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]


def test_nothing_leaks_of_more_than_200_features(output: str) -> None:
    assert "No leak found in 218 columns." in output


def test_revised_reports_promise_what_serving_does_not_keep(output: str) -> None:
    auc = promises(output)
    assert auc["known"][0] == auc["known"][1] > 0.85
    assert auc["naive-latest"][0] > auc["naive-latest"][1] + 0.02
    assert auc["event_time"][0] > auc["event_time"][1] + 0.02


def test_every_feature_is_worth_something_somewhere(output: str) -> None:
    found = re.findall(r"^  (view|source) +(\S+) +([\d.]+)  of (\d+) features", output, re.M)
    of = {by: [each for each in found if each[0] == by] for by in ("view", "source")}
    assert sum(int(many) for *_, many in of["view"]) == 218
    assert sum(int(many) for *_, many in of["source"]) == 218
    strength = {by: sum(float(size) for _, _, size, _ in of[by]) for by in of}
    assert strength["view"] == pytest.approx(strength["source"], abs=0.01)
    assert [name for _, name, *_ in of["source"]][0] == "transactions"
    assert {"Macro_cpi", "Macro_unemployment"} <= {name for _, name, *_ in of["view"]}


def test_applications_are_served_as_they_are_trained(output: str) -> None:
    assert compared(output) == 60 * 218


def test_its_own_example_holds(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text((EXAMPLES / "credit" / "features.py").read_text())
    assert "1 examples: 1 ok" in ran(run_in(tmp_path, "test")).stdout
