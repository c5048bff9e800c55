"""What tests of plugs share."""

import pytest

from tests.shop import CARD, open_store, payments, spend_of


@pytest.fixture
def fs(tmp_path):
    """An open repo of payments with a row id, and a view of them; no rows yet."""
    pays = payments(row_id="pay_id")
    with open_store(tmp_path, CARD, pays, spend_of(pays)) as store:
        yield store
