"""The walk over everything that changes a repo, over a store that also loses what it has.

States are evicted, the store is flushed or goes back to an older copy, by which processes that are
opened again (a server looks every second); copies of the folder try to write. Every value that is
read is that of the reference engine, or building, or refused.
"""

import contextlib
import shutil

import pytest

from skewless.errors import Conflict, StoreUnavailable
from skewless.materialize import materialize as materialize_module
from skewless.materialize.recovery import heal
from skewless.online.storage import is_states
from skewless.testing.memory import MemoryCache
from tests.online.test_life import NOON, SECOND, Life, live
from tests.shop import open_store, pay

SEEDS = range(8)


class LossyLife(Life):
    """A life over a cache."""

    def __init__(self, folder, seed):
        self.cache = MemoryCache()
        self.remembered = self.cache.contents()
        super().__init__(folder, seed, "cache")

    def open(self):
        self.shared = self.cache
        return open_store(self.folder, clock=self.clock, using=self.cache, build=None)

    def step(self):
        if self.chance.random() < 0.6:
            stale = bool(self.stale)
            super().step()
            if stale and not self.stale:  # the other process sees that within a second
                self.clock.time += 2 * SECOND
            return
        verb = self.chance.choice(
            [self.evict, self.evict, self.flush, self.remember, self.go_back, self.heal, self.copy]
        )
        self.told.append(verb.__name__)
        verb()

    def evict(self):
        for table in filter(is_states, self.cache.tables()):
            for card in (b"c1", b"c2", b"c3"):
                if self.chance.random() < 0.4:
                    self.cache.delete(table, [card])

    def flush(self):
        self.lose(None)

    def remember(self):
        self.remembered = self.cache.contents()

    def go_back(self):
        self.lose(self.remembered)

    def lose(self, contents):
        self.cache.lose(contents)
        self.stores = [self.open(), self.open()]

    def heal(self):
        with contextlib.suppress(StoreUnavailable):
            heal(self.fs.runtime)

    def copy(self):
        """Somebody copies the folder and writes from there, where the repo has an owner."""
        if self.stores[0].runtime.journal.read_one("skewless.writers", b"generation") is None:
            return
        other = self.folder.parent / f"copy{len(self.told)}"
        shutil.copytree(self.folder, other)
        shutil.rmtree(other / ".skewless" / "offline" / "journal")
        with contextlib.suppress(FileNotFoundError):
            (other / ".skewless" / "offline" / "journal.json").unlink()
        stranger = open_store(other, clock=self.clock, using=self.cache, build=None)
        with contextlib.suppress(StoreUnavailable):
            if "pays" in stranger.runtime.state(fresh=True).sources and self.cache.tables():
                self.try_to_push(stranger)

    def try_to_push(self, stranger):
        if self.cache.read_one("skewless.held", b"") is None:
            return  # a store that was flushed is taken by whoever is first
        with pytest.raises(Conflict):
            stranger.push("pays", [pay("stranger", NOON, card="c1")], backdate=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_value_is_right_or_building_or_refused_whatever_is_lost(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    live(LossyLife(tmp_path / "repo", seed))
