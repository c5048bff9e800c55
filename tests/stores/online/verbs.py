"""Every verb of an online store, to be called while its server is away."""

from collections.abc import Callable

import pytest

from skewless.errors import StoreUnavailable
from skewless.stores.online.base import OnlineStore


def every_verb(store: OnlineStore) -> list[Callable[[], object]]:
    return [
        lambda: store.read("rows", [b"a", b"b"]),
        lambda: store.read_one("rows", b"a"),
        lambda: list(store.scan("rows")),
        store.tables,
        lambda: store.write("rows", [(b"a", b"never")]),
        lambda: store.delete("rows", [b"a"]),
        lambda: store.drop("rows"),
        lambda: store.compare_and_set("rows", [(b"a", b"of a", b"never")]),
    ]


def assert_unavailable(store: OnlineStore, secret: str) -> None:
    """Every verb says so, and none tells the secret."""
    for verb in every_verb(store):
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            verb()
        assert secret not in str(caught.value)
