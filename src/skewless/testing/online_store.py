"""The conformance suite of online stores: what every store must pass, shipped for yours too.

    pytest.register_assert_rewrite("skewless.testing")     # before the import: readable failures
    from skewless.testing.online_store import OnlineStoreSuite

    class TestMyStore(OnlineStoreSuite):
        @pytest.fixture
        def open_store(self, tmp_path):
            return functools.partial(MyStore, tmp_path / "store")

`open_store` returns what opens a store on the same rows each time it is called; it is sent to other
processes, so it must be picklable where the store is `shared_by_processes`. The rows must be gone
with the next test. A test of something that the store's capabilities do not declare is skipped, and
the skip names the capability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from skewless.stores.online.base import OnlineStore
from skewless.testing._store_processes import ProcessLaws
from skewless.testing._store_rows import RowLaws
from skewless.testing._store_scans import ScanLaws
from skewless.testing._store_transactions import TransactionLaws


class OnlineStoreSuite(RowLaws, ScanLaws, TransactionLaws, ProcessLaws):
    """Inherit it and say how to open the store."""

    @pytest.fixture
    def open_store(self) -> Callable[[], OnlineStore]:
        """Override: return what opens the store."""
        pytest.fail(f"{type(self).__name__} must override the fixture open_store")

    @pytest.fixture
    def store(self, open_store: Callable[[], OnlineStore]) -> Iterator[OnlineStore]:
        """Give one open store."""
        with open_store() as store:
            yield store

    @pytest.fixture(autouse=True)
    def _skip_what_is_not_declared(
        self, request: pytest.FixtureRequest, store: OnlineStore
    ) -> None:
        for ability in getattr(request.function, "needed_capabilities", ()):
            if not getattr(store.capabilities, ability):
                pytest.skip(f"{type(store).__name__} does not declare the capability {ability!r}")
