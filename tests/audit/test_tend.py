"""A pass of tend signs where the audit ends, in a place of its own."""

from __future__ import annotations

from pathlib import Path

import skewless as sl
from skewless.audit.search import Search
from skewless.ledger.checkpoints import make_key


def test_checkpoints_are_made_of_the_audit_too(tmp_path: Path) -> None:
    public = make_key(tmp_path / "ledger.pem")
    (tmp_path / "skewless.toml").write_text(
        '[audit]\n[ledger]\ncheckpoints = "elsewhere"\nsigning_key = "ledger.pem"\n'
        f'public_key = "{public}"\n'
    )
    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
    spend = sl.FeatureView(
        "Spend", entity=card, source=pays, features={"total": pays.amount.sum("1h")}
    )
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply([spend])
        for _ in range(2):
            fs.get_online_features("Spend", [{"card_id": "c1"}])
            fs.audit.write()
        signed = next(p for p in fs.tend(everything=True).parts if p.name == "checkpoint")
        assert "of the audit" in signed.said
        assert Search(fs.audit).verify(signed=True).ok
        (file,) = fs.audit.ledger.chain.files()
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(b'{"n":')])
    with sl.FeatureStore(tmp_path) as fs:
        assert not Search(fs.audit).verify(signed=True).ok
