"""The equipment example runs over PostgreSQL alone, in a process of its own."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from skewless.testing.servers import missing, running
from tests.examples.running import compared, printed, promises

pytestmark = pytest.mark.server("postgres")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    if "LA_HAUTE_BORNE" not in os.environ:
        try:
            distribution("OpenOA")
        except PackageNotFoundError:
            missing("OpenOA's data is not here; tools/get_servers.sh gets it")
    with running("postgres") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKEWLESS_POSTGRES", server.url)
        return printed("equipment", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_it_says_whose_data_it_is(output: str) -> None:
    assert "Real data: wind turbines of La Haute Borne (ENGIE, Open License 2.0)." in output
    assert "No leak found in 24 columns." in output


def test_what_was_known_keeps_what_it_promises(output: str) -> None:
    auc = promises(output)
    assert auc["known"][0] == auc["known"][1] > 0.55


def test_a_day_is_served_as_it_is_trained(output: str) -> None:
    assert compared(output) == 96 * 24


def test_everything_but_settled_history_lies_in_the_database(output: str) -> None:
    told = output.split("== What lies in PostgreSQL")[1]
    assert told.count(" KB") >= 3
