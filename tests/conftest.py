"""Options and fixtures of every test: the stores to run on, hypothesis' profile, the seed.

pytest --stores lmdb,redis     (or STORES=lmdb,redis)  stores for tests that take `store_name`
HYPOTHESIS_PROFILE=ci pytest   200 examples for a property instead of 50; the default under CI
SEED=42 pytest                 the `seed` fixture; the header prints the one of this run
"""

import os
import secrets

import pytest
from hypothesis import HealthCheck, settings

# The suites that ship in skewless.testing assert like tests do.
pytest.register_assert_rewrite("skewless.testing")

# Those that need no server.
EMBEDDED_STORES = "memory,lmdb,sqlite"

settings.register_profile("dev", max_examples=50, deadline=None)
# The same examples in every run of CI, so that it judges the change and not the dice; everywhere
# else new ones are tried, and more of them with HYPOTHESIS_PROFILE=thorough.
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stores",
        default=os.environ.get("STORES") or EMBEDDED_STORES,
        help="comma-separated names of the online stores to test (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(_profile())
    # In the environment, so that the workers of pytest-xdist share it.
    os.environ.setdefault("SEED", str(secrets.randbelow(2**32)))


def pytest_report_header(config: pytest.Config) -> str:
    seed, stores = os.environ["SEED"], ", ".join(_stores(config))
    return (
        f"skewless: stores {stores}; hypothesis profile {_profile()}; SEED={seed} repeats this run"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_name" in metafunc.fixturenames:
        metafunc.parametrize("store_name", _stores(metafunc.config), scope="session")


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed for generated data; printed in the header of the run."""
    return int(os.environ["SEED"])


def _profile() -> str:
    return os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")


def _stores(config: pytest.Config) -> list[str]:
    return [name.strip() for name in config.getoption("--stores").split(",") if name.strip()]
