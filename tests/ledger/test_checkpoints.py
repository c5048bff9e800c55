"""An older state that was put back everywhere, or a forged one, is found by signed checkpoints."""

import random
import shutil

import pytest

import skewless as sl
from skewless.errors import ConfigError, InputError
from skewless.ledger.checkpoints import NAME, Checkpoints, make_key
from tests.cli.running import data_of, ran, run_in
from tests.shop import open_store, payments, spend_of

pytest.importorskip("cryptography")


class Kept:
    """A repo whose ledger is signed elsewhere."""

    def __init__(self, folder):
        self.repo, self.place = folder / "repo", folder / "elsewhere"
        self.repo.mkdir()
        self.public = make_key(folder / "key.pem")
        text = f"""[ledger]
checkpoints = "{self.place}"
signing_key = "{folder / "key.pem"}"
public_key = "{self.public}"
"""
        (self.repo / "skewless.toml").write_text(text)
        with sl.FeatureStore(self.repo) as fs:
            fs.apply(fs.plan(spend_of(payments())))

    def work(self, times=1, *, sign=True):
        with sl.FeatureStore(self.repo) as fs:
            for _ in range(times):
                fs.compact()
            if sign:
                fs.runtime.ledger.checkpoint()

    def verify(self, **given):
        with sl.FeatureStore(self.repo) as fs:
            return fs.runtime.ledger.verify(signed=True, **given)


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path)


def test_what_was_signed_and_what_came_after_it_holds(kept):
    for _ in range(3):
        kept.work()
    kept.work(sign=False)
    report = kept.verify()
    assert report.ok
    assert len(report.checkpoints) == 3
    assert "3 checkpoints hold" in str(report)


def test_an_older_ledger_and_registry_that_were_put_back_are_found(kept, tmp_path):
    kept.work(3)
    shutil.copytree(kept.repo, tmp_path / "older")
    kept.work(3)
    shutil.rmtree(kept.repo)
    shutil.copytree(tmp_path / "older", kept.repo)
    with sl.FeatureStore(kept.repo) as fs:
        assert fs.runtime.ledger.verify().ok  # ledger and registry agree with each other
    report = kept.verify()
    assert not report.ok
    assert "the newest are gone" in str(report)
    kept.work(9, sign=False)  # and something else was written where they were
    assert "is not the one that was sealed" in str(kept.verify())


def test_a_ledger_written_anew_is_found(kept):
    kept.work(2)
    shutil.rmtree(kept.repo / ".skewless" / "ledger")
    with sl.FeatureStore(kept.repo) as fs:
        name = fs.runtime.ledger.chain.name
        fs.runtime.registry.set_progress(f"ledger/{name}", {"seal": "0" * 64, "n": 0, "file": 0})
    kept.work(9, sign=False)
    assert not kept.verify().ok


@pytest.mark.parametrize("seed", range(20))
def test_checkpoints_that_were_altered_are_named(kept, seed):
    for _ in range(3):
        kept.work()
    file, chance = kept.place / NAME, random.Random(seed)
    before = file.read_bytes()
    lines = before.splitlines(True)
    how = seed % 4
    if how == 0:
        data = bytearray(before)
        data[chance.randrange(len(data) - 1)] ^= 1
        file.write_bytes(bytes(data))
    elif how == 1:
        file.write_bytes(b"".join(lines[1:]))
    elif how == 2:
        file.write_bytes(lines[1] + lines[0] + lines[2])
    else:
        file.write_bytes(b"".join([lines[0], lines[0], *lines[1:]]))
    report = kept.verify()
    assert report.faults
    assert not report.ok


def test_a_checkpoint_of_somebody_else_counts_for_nothing(kept, tmp_path):
    kept.work()
    other = make_key(tmp_path / "other.pem")
    with sl.FeatureStore(kept.repo) as fs:
        name = fs.config.project
        heads = {chain.name: chain.head() for chain in [fs.runtime.ledger.chain]}
    Checkpoints(name, kept.place, tmp_path / "other.pem").write(heads, at=1)
    assert "signed by somebody else" in str(kept.verify())
    assert not kept.verify(public_key=other).ok


def test_a_checkpoint_that_a_kill_cut_off_is_told_and_the_next_one_holds(kept):
    kept.work()
    file = kept.place / NAME
    file.write_bytes(file.read_bytes() + b'{"checkpoint":1,"pro')
    kept.work()
    report = kept.verify()
    assert [damage.line for damage in report.faults] == [2]
    assert len(report.checkpoints) == 2


def test_without_a_second_place_or_a_key_it_is_said_what_to_do(tmp_path):
    with open_store(tmp_path / "shop", spend_of(payments())) as fs:
        with pytest.raises(ConfigError, match="checkpoints ="):
            fs.runtime.ledger.verify(signed=True)
        with pytest.raises(ConfigError, match="checkpoints ="):
            fs.runtime.ledger.checkpoint()
    with pytest.raises(ConfigError, match="ledger key"):
        Checkpoints("p", tmp_path).write({}, at=1)
    with pytest.raises(InputError, match="no checkpoint"):
        Checkpoints("p", tmp_path / "none", public_key="00" * 32).read()


def test_the_commands_make_a_key_sign_and_verify(kept, tmp_path):
    file = tmp_path / "new.pem"
    text = ran(run_in(kept.repo, "ledger", "key", str(file))).stdout
    assert 'public_key = "' in text
    assert file.stat().st_mode & 0o077 == 0
    assert data_of(run_in(kept.repo, "ledger", "checkpoint", "--json"))["signer"] == kept.public
    found = data_of(run_in(kept.repo, "ledger", "verify", "--since-checkpoint", "--json"))
    assert (found["ok"], found["checkpoints"]) == (True, 1)
    assert ran(run_in(kept.repo, "ledger", "verify", "--public-key", "00" * 32), 1)
