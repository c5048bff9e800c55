"""An unmodified Feast client, in an environment of its own, works against this server."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.harness import PeerMissing
from benchmarks.peers.feast_env import feast_python
from skewless.testing.servers import missing
from tests.serving.calling import serving

USER = Path(__file__).parent / "feast_user.py"


@pytest.mark.slow
def test_feasts_own_client_reads_pushes_and_materializes(repo: Path, tmp_path: Path) -> None:
    try:
        python = feast_python(install=True)()
    except PeerMissing as reason:
        missing(str(reason))
    with serving(repo, tmp_path) as server:
        done = subprocess.run(
            [python, str(USER), server.url, str(tmp_path)],
            capture_output=True, text=True, check=False, timeout=300,
            env={"FEAST_USAGE": "False", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["before"] == {
        "card_id": ["c1", "c9"], "amount": [2.5, None], "country": ["DE", None],
    }  # fmt: skip
    # The payments are long ago. The service is this server's: it has one feature more.
    assert found["service"] == {
        "card_id": ["c1", "c9"], "total": [0.0, 0.0], "count": [0, 0], "mean": [None, None],
    }  # fmt: skip
    assert found["full"]["Spend__count"] == [0, 0]
    assert found["pushed"] == {
        "card_id": ["c9"], "amount": [12.5], "country": ["SE"], "payment_id": ["f1"],
    }  # fmt: skip
    assert found["written"]["amount"] == [13.5]
    assert found["materialized"]["amount"] == [2.5, 13.5]
    assert "Elsewhere" in found["error"]
