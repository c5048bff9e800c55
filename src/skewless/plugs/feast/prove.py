"""The proof of a translation: values beside Feast's own, over the rows that Feast reads.

Moments are drawn around the rows of each view: before the first, at rows, between them, at the last
instant of the ttl and after it. Feast computes in its own Python; bits are compared.
"""

from __future__ import annotations

import json
import math
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.clock import to_micros
from skewless.forks import cached_property
from skewless.formatting import count_of, same_bits
from skewless.plugs.feast.registry import View, run_feast
from skewless.plugs.migrate.written import python_name
from skewless.store import FeatureStore

_SCRIPT = """
import json, sys
import pyarrow.parquet as pq
from feast import FeatureStore
store = FeatureStore(repo_path=".")
for job in json.load(open(sys.argv[1])):
    spine = pq.read_table(job["spine"]).to_pandas()
    found = store.get_historical_features(entity_df=spine, features=job["features"])
    pq.write_table(found.to_arrow(), job["answer"])
"""
_TIME = "event_timestamp"
"""What Feast calls the time of a spine."""
_ROW = "skewless_row"
_A_DAY = 86_400_000_000


@dataclass
class Proof:
    """Values that were compared with Feast's.

    Attributes:
        values: how many.
        lost: rows of spines that Feast leaves out of its answer, where none of the entity's rows is
            within the ttl; ours are null there.
        ties: how many differ where several rows of an entity have one time: Feast's file store
            takes one of them by chance (its sort is not stable), here it is the one made last.
        present: how many of them are no null.
        differ: the first that differ: feature, entity and time, Feast's value, ours.
        wrong: how many differ.
    """

    values: int = 0
    lost: int = 0
    ties: int = 0
    present: int = 0
    wrong: int = 0
    differ: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return dict(vars(self))

    def __str__(self) -> str:
        said = (
            f"{count_of(self.values, 'value')} compared with Feast's, {self.present:,} of them set"
        )
        lines = [f"{said}: {'all the same' if not self.wrong else f'{self.wrong:,} differ'}"]
        if self.ties:
            lines.append(f"  {count_of(self.ties, 'value')} differ where rows have one time")
        if self.lost:
            lines.append(
                f"  {count_of(self.lost, 'row')} without a value are not in Feast's answer"
            )
        lines += [f"  {each}" for each in self.differ]
        return "\n".join(lines)


def prove(
    fs: FeatureStore,
    views: list[View],
    folder: Path,
    *,
    python: str | None,
    rows: int,
    seed: int = 0,
) -> Proof:
    """Compare what both give for the same spines.

    Args:
        fs: with the translated definitions applied.
        views: those of Feast that were translated.
        folder: of the feature repo.
        python: an interpreter with Feast.
        rows: how many rows of spines in all.
        seed: of the moments.
    """
    proof, draw = Proof(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as made:
        jobs: list[dict[str, Any]] = []
        looked_at: list[Rows] = []
        for number, view in enumerate(views):
            of_view = Rows(fs, view)
            if not len(of_view.times):
                continue
            spine = of_view.spine(max(rows // len(views), 1), view.ttl or _A_DAY, draw)
            names = [each for each in fs.views[view.name].features]
            job = {
                "view": view.name, "names": names,
                "features": [f"{view.name}:{name}" for name in names],
                "spine": f"{made}/{number}.parquet", "answer": f"{made}/{number}.answer",
            }  # fmt: skip
            pq.write_table(spine, job["spine"])
            jobs.append(job)
            looked_at.append(of_view)
        listed = Path(made) / "jobs.json"
        listed.write_text(json.dumps(jobs), "utf-8")
        run_feast(python, folder, "-c", _SCRIPT, str(listed))
        for job, of_view in zip(jobs, looked_at, strict=True):
            _compare(proof, fs, job, of_view)
    return proof


class Rows:
    """The rows of a view's source: their keys and times.

    Args:
        fs: with the definitions applied.
        view: of Feast.
    """

    def __init__(self, fs: FeatureStore, view: View) -> None:
        source = fs.sources[python_name(view.source["name"])]
        names = {key: view.column(key) for key in view.keys}
        types = pa.schema([(key, source.columns[name].arrow()) for key, name in names.items()])
        chunks = list(fs.runtime.history(source).chunks(list(names.values())))
        tables = [chunk.table.rename_columns(list(names)) for chunk in chunks]
        self.keys = pa.concat_tables([types.empty_table(), *tables])
        self.times = np.concatenate([np.empty(0, np.int64), *(chunk.event for chunk in chunks)])

    def spine(self, rows: int, ttl: int, draw: np.random.Generator) -> pa.Table:
        """Return keys with moments around rows, each pair once: Feast answers equal rows once."""
        picked = draw.integers(0, len(self.times), rows)
        steps = np.array([0, -1, 1, ttl, ttl + 1, ttl - 1, ttl // 2, -ttl])
        times = self.times[picked] + draw.choice(steps, rows)
        taken = self.keys.take(pa.array(picked))
        drawn = taken.append_column(_TIME, pa.array(times, pa.timestamp("us", "UTC")))
        once = drawn.group_by(drawn.column_names).aggregate([])
        return once.append_column(_ROW, pa.array(range(once.num_rows)))

    @cached_property
    def by_entity(self) -> dict[tuple[Any, ...], list[int]]:
        """Keys to the times of their rows, ascending."""
        found: dict[tuple[Any, ...], list[int]] = {}
        columns = [column.to_pylist() for column in self.keys.columns]
        for *key, time in zip(*columns, self.times.tolist(), strict=True):
            found.setdefault(tuple(key), []).append(time)
        return {key: sorted(times) for key, times in found.items()}

    def tied(self, key: tuple[Any, ...], moment: int) -> bool:
        """Return whether several rows of an entity share the newest time up to a moment."""
        times = self.by_entity.get(key, [])
        place = bisect_right(times, moment)
        return place > 1 and times[place - 1] == times[place - 2]


def _compare(proof: Proof, fs: FeatureStore, job: dict[str, Any], rows: Rows) -> None:
    spine = pq.read_table(job["spine"])
    ours = fs.get_historical_features(
        spine, job["features"], timestamp=_TIME, as_of="event_time"
    ).to_arrow()
    theirs = pq.read_table(job["answer"])
    places = {row: place for place, row in enumerate(theirs[_ROW].to_pylist())}
    proof.lost += spine.num_rows - len(places)
    asked = spine.drop_columns([_ROW]).to_pylist()
    for name in job["names"]:
        whole = pa.types.is_integer(ours[name].type)  # pandas makes floats of ints beside nulls
        answers = [int(v) if whole and v is not None else v for v in _plain(theirs[name])]
        for row, made in enumerate(_plain(ours[name])):
            given = answers[places[row]] if row in places else None
            proof.values += 1
            proof.present += made is not None
            if same_bits(given, made):
                continue
            *key, moment = asked[row].values()
            if rows.tied(tuple(key), to_micros(moment)):
                proof.ties += 1
                continue
            proof.wrong += 1
            if len(proof.differ) < 10:
                about = {"feature": f"{job['view']}:{name}", **asked[row]}
                proof.differ.append({**about, "feast": given, "skewless": made})


def _plain(column: pa.ChunkedArray) -> Iterator[Any]:
    """Yield values as both mean them: NaN is null."""
    for value in column.to_pylist():
        yield None if isinstance(value, float) and math.isnan(value) else value
