"""Reference and current as pandas frames, for tools that compare such: Evidently, NannyML.

    reference, current = fs.drift_frames("fraud", training)
    evidently.Report([DataDriftPreset()]).run(current, reference)

The rows of a training set are not kept, so it is handed in: itself, or the file it was written to.
The current frame has the last answer of each entity, or every answer, out of the served log.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.clock import from_micros
from skewless.drift.drift import served_folder
from skewless.errors import InputError, MissingColumn, MissingDependency, UnknownName
from skewless.online.runtime import Runtime
from skewless.parity.served import read_log
from skewless.plan.results import TrainingSet
from skewless.plan.selection import Selection, select
from skewless.stores.offline.as_table import as_table

if TYPE_CHECKING:
    import pandas as pd

TIMESTAMP = "timestamp"


def frames(
    runtime: Runtime,
    service: str,
    reference: Any,
    *,
    served: str | Path | None = None,
    every_read: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return reference and current; see `FeatureStore.drift_frames`."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise MissingDependency.of("pandas", "pandas", needed_for="drift_frames") from None
    state = runtime.state(fresh=True)
    if service not in state.services:
        raise UnknownName.of("feature service", service, state.services, where=state.place)
    selection = select(state, service)
    return _reference(selection, reference), _current(runtime, selection, served, every_read)


def _reference(selection: Selection, reference: Any) -> pd.DataFrame:
    if isinstance(reference, TrainingSet):
        frame = reference.to_pandas().rename(columns={reference.plan.timestamp: TIMESTAMP})
    else:
        frame = as_table(reference, where="the reference").to_pandas()
    for output in selection.outputs:
        if output.name not in frame.columns:
            raise MissingColumn.of(output.name, list(frame.columns), where="the reference")
    return frame


def _current(
    runtime: Runtime, selection: Selection, served: str | Path | None, every_read: bool
) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    folder = served_folder(runtime) if served is None else Path(served)
    if folder is None:
        raise InputError(
            "there is no served log", hint="Let serving keep one: skewless serve --served-log 0.01."
        )
    names = list(selection.join_keys)
    rows: dict[Any, tuple[Any, ...]] = {}
    for answers in read_log(folder, runtime.state(), Counter()):
        places = {reference: at for at, reference in enumerate(answers.features)}
        if any(output.reference not in places for output in selection.outputs):
            continue
        found = [places[output.reference] for output in selection.outputs]
        for entity, t, values in zip(answers.entities, answers.times, answers.values, strict=True):
            key = tuple(entity[name] for name in names)
            place: Any = len(rows) if every_read else key
            known = rows.get(place)
            if known is None or t >= known[0]:
                rows[place] = (t, key, [values[at] for at in found])
    ordered = sorted(rows.values(), key=lambda row: row[0])
    columns = {
        name: pa.array([key[at] for _, key, _ in ordered], dtype.arrow())
        for at, (name, dtype) in enumerate(selection.join_keys.items())
    }
    columns |= {
        output.name: pa.array([values[at] for _, _, values in ordered], output.dtype.arrow())
        for at, output in enumerate(selection.outputs)
    }
    frame: pd.DataFrame = pa.table(columns).to_pandas(maps_as_pydicts="strict")
    times = [from_micros(t) for t, _, _ in ordered]
    frame.insert(0, TIMESTAMP, pd.to_datetime(pd.Series(times, dtype="object"), utc=True))
    return frame
