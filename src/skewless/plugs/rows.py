"""What a store holds as whole tables, for tools that look at tables: SQL, suites of checks."""

from __future__ import annotations

import pyarrow as pa

from skewless.definitions import FeatureView, Source
from skewless.store import FeatureStore
from skewless.stores.offline.history import HistoryChunk
from skewless.stores.offline.superseded import Superseded
from skewless.training.training_set import training_set


def rows_of(fs: FeatureStore, source: Source) -> pa.Table:
    """Return the rows of a source that count now: the last version of each that is known.

    Deleted rows, rows that came later than the source allows and rows without an event time are
    left out, as in every feature.
    """
    now = fs.runtime.clock.now()
    history = fs.runtime.history(source)
    superseded = history.superseded()
    pieces = [_counting(chunk, superseded, now) for chunk in history.chunks(list(source.columns))]
    types = pa.schema([(name, kind.arrow()) for name, kind in source.columns.items()])
    return pa.concat_tables([types.empty_table(), *pieces])


def latest(fs: FeatureStore, view: FeatureView) -> pa.Table:
    """Return the values of a view now, for each entity that ever had one."""
    keys = list(view.asked_entity.key_names)
    changes = fs.read_features(view.name)
    spine = changes.select(keys).group_by(keys).aggregate([]) if keys else pa.table({"_": [0]})
    now = pa.array([fs.runtime.clock.now()] * spine.num_rows, pa.timestamp("us", "UTC"))
    asked = spine.append_column("at", now)
    made = training_set(
        fs.runtime, asked, view.name, timestamp="at", as_of="known", full_names=False, progress=None
    )
    return made.to_arrow()


def _counting(chunk: HistoryChunk, superseded: Superseded, now: int) -> pa.Table:
    counts = (superseded.of(chunk.row) > now) & (chunk.known <= now) & ~chunk.late
    return chunk.table.filter(pa.array(counts))
