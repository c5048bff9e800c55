"""Every engine gives the bits of the reference: on one machine, and spread over processes."""

import pytest

from skewless.engines.local import LocalEngine
from skewless.testing.engine import EngineSuite
from tests.testing.test_plug_ins_page import ProcessEngine


class TestLocalEngine(EngineSuite):
    seeds = range(4)

    @pytest.fixture(params=[1 << 30, 0], ids=["in memory", "spilled"])
    def engine(self, request):
        return LocalEngine(memory=request.param)


@pytest.fixture(scope="module")
def spilling():
    """An engine of the docs whose workers keep all rows in temporary files."""
    with ProcessEngine(memory=0) as engine:
        yield engine


class TestProcessEngineThatSpills(EngineSuite):
    seeds = (4,)

    @pytest.fixture
    def engine(self, spilling):
        return spilling
