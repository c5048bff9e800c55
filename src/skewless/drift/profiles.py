"""Profiles taken: of all entities online, of what was served, of training sets; and read again.

    profiles = profile_online(runtime, ["Spend"])
    keep(runtime.ledger, profiles)
    newest(runtime.ledger, since=..., points=["online"])["Spend@v1:total"]

An entity counts once: reads are no observations, and a hundred reads of one entity say no more of a
distribution than one. Of what was served the last answer of each entity in the window counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skewless.clock import Now
from skewless.definitions import FeatureView
from skewless.definitions.references import split_view
from skewless.drift.entity_keys import EntityKeys
from skewless.drift.profile import ONLINE, SERVED, TRAINING, Profile, Profiler
from skewless.engines.given_spine import spine_times
from skewless.errors import UnknownName
from skewless.ledger.ledger import Ledger
from skewless.lineage.personal import Personal, personal
from skewless.monitoring.statistics import columns_now, keys_now
from skewless.online.runtime import Runtime
from skewless.parity.served import Answers, read_log
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.results import TrainingSet
from skewless.plan.selection import Output, select

KIND, KEYS_KIND = "profile", "entity_keys"
DAY = 86_400_000_000
TRAINING_ROWS = 100_000
"""Rows of a training set that its profile is of, evenly taken; an entity among them counts once."""
MOST_ASKED = 2_000
"""Entities of a view that are asked online; of more, values come from history."""
MOST_ENTITIES = 1_000_000
"""Entities of a view that a profile is of, by chance among more: memory follows them."""
_VALUES_AT_ONCE = 200_000
_FEATURES_AT_ONCE = 24
Progress = Callable[[str, float], None]


# ------------------------------------------------------------------------------------------ taken


def profile_online(
    runtime: Runtime, views: Sequence[str] | None = None, *, progress: Progress | None = None
) -> list[Profile]:
    """Return the profiles of the features of views, of all entities as they are served now.

    Args:
        runtime: the open repo.
        views: names or versions; None: every current view. A view in a role is left out: it has
            the values of the view it is a role of.
        progress: called with a text and the finished fraction.

    Raises:
        UnknownName: there is no such view.
    """
    state = runtime.state(fresh=True)
    found = []
    wanted = list(feature_views(state, views))
    for number, (label, view) in enumerate(wanted):
        if progress is not None:
            progress(label, number / len(wanted))
        found += _profile_view(runtime, label, view)
    return found


def feature_views(
    state: RegistryState, views: Sequence[str] | None
) -> Iterator[tuple[str, FeatureView]]:
    """Yield feature views with their versions: the current ones, or those that are named."""
    for name in state.current if views is None else views:
        bare, version = split_view(name)
        if bare not in state.current:
            raise UnknownName.of("view", name, state.current, where=state.place)
        view = state.view(bare, version)
        if isinstance(view, FeatureView) and not view.is_role:
            yield f"{bare}@v{state.current[bare] if version is None else version}", view


def _profile_view(runtime: Runtime, label: str, view: FeatureView) -> list[Profile]:
    """Return the profiles of a view's features.

    Up to `MOST_ASKED` entities are read online. Of more, statuses are those of so many, and values
    are those of history: the same to the last bit (`skewless verify`), by column instead of by row.
    """
    import numpy as np

    now = runtime.clock.now()
    state = runtime.state()
    references = [f"{label}:{feature}" for feature in view.features]
    selection = select(state, references, full_names=True)
    marked = personal(state)
    profilers = [_profiler(output, marked, now) for output in selection.outputs]
    keys = keys_now(runtime, label, selection)
    chance = np.random.default_rng(0)
    if keys.num_rows > MOST_ENTITIES:
        keys = keys.take(np.sort(chance.choice(keys.num_rows, MOST_ENTITIES, replace=False)))
    asked = keys
    if keys.num_rows > MOST_ASKED:
        asked = keys.take(np.sort(chance.choice(keys.num_rows, MOST_ASKED, replace=False)))
    _read_online(runtime, references, asked, profilers, now, whole=asked is keys)
    if asked is not keys:
        for start in range(0, len(references), _FEATURES_AT_ONCE):
            some = select(state, references[start : start + _FEATURES_AT_ONCE], full_names=True)
            columns = columns_now(runtime, some, keys)
            for profiler, output in zip(profilers[start:], some.outputs, strict=False):
                profiler.add_array(columns[output.name], missing=False)
    return [
        profiler.profile(reference, point=ONLINE, start=now, end=now)
        for profiler, reference in zip(profilers, references, strict=True)
    ]


def _read_online(
    runtime: Runtime,
    references: list[str],
    keys: Any,
    profilers: list[Profiler],
    now: int,
    *,
    whole: bool,
) -> None:
    """Give the profilers what entities are served; of a part of them, their statuses alone."""
    lookup = runtime.reader.lookup(references, True)
    at_once = max(64, _VALUES_AT_ONCE // len(references))
    for start in range(0, keys.num_rows, at_once):
        entities = keys.slice(start, at_once).to_pylist() if keys.column_names else [{}]
        values, statuses, _ = runtime.reader.read(lookup, entities, Now(now))
        columns = zip(zip(*values, strict=True), zip(*statuses, strict=True), strict=True)
        for profiler, (column, of) in zip(profilers, columns, strict=True):
            if whole:
                profiler.add(column, of)
            else:
                profiler.add_statuses(of)


def _profiler(output: Output, marked: Mapping[str, Personal], now: int) -> Profiler:
    """Return the profiler of a feature; what is personal is not listed in the ledger."""
    found = marked.get(output.reference)
    return Profiler(output.dtype, now=now, hidden=found is not None and found.is_hidden)


def profile_served(
    runtime: Runtime, path: Path, start: int, end: int
) -> tuple[list[Profile], dict[str, EntityKeys]]:
    """Return the profiles of what was served in a window, and the entities by view.

    The log is read twice, so that memory follows the entities and not the reads.

    Args:
        runtime: the open repo.
        path: a served log, or the folder of it.
        start, end: of the window, UTC microseconds; the end does not belong to it.

    Raises:
        InputError: not a served log.
    """
    state = runtime.state(fresh=True)
    marked = personal(state)
    last: dict[tuple[str, tuple[Any, ...]], int] = {}
    for answers, places in _answers(path, state):
        for label, (names, _) in places.items():
            for entity, t in zip(answers.entities, answers.times, strict=True):
                if start <= t < end:
                    key = label, tuple(entity[name] for name in names)
                    last[key] = max(t, last.get(key, t))
    profilers: dict[str, Profiler] = {}
    keys: dict[str, EntityKeys] = {}
    for answers, places in _answers(path, state):
        for label, (names, outputs) in places.items():
            rows, found = [], []
            for row, (entity, t) in enumerate(zip(answers.entities, answers.times, strict=True)):
                key = label, tuple(entity[name] for name in names)
                if last.get(key) == t:  # the first that says so: one answer an entity
                    del last[key]
                    rows.append(row)
                    found.append((key[1], t))
            keys.setdefault(label, EntityKeys()).add([k for k, _ in found], [t for _, t in found])
            for at, output in outputs:
                taken = profilers.setdefault(output.reference, _profiler(output, marked, end))
                statuses: list[Any] = [answers.statuses[row][at] for row in rows]
                taken.add([answers.values[row][at] for row in rows], statuses)
    profiles = [
        profiler.profile(reference, point=SERVED, start=start, end=end)
        for reference, profiler in profilers.items()
    ]
    return profiles, keys


def _answers(
    path: Path, state: RegistryState
) -> Iterator[tuple[Answers, dict[str, tuple[list[str], list[tuple[int, Output]]]]]]:
    """Yield answers of a served log, and for each view its keys and where its features are."""
    known: dict[tuple[str, ...], dict[str, tuple[list[str], list[tuple[int, Output]]]]] = {}
    for answers in read_log(path, state, Counter()):
        if answers.features not in known:
            selection = select(state, list(answers.features), full_names=True)
            found: dict[str, tuple[list[str], list[tuple[int, Output]]]] = {}
            for at, output in enumerate(selection.outputs):
                label = f"{output.view}@v{output.version}"
                view = state.view(output.view, output.version)
                asked = view.asked_entity.key_names if isinstance(view, FeatureView) else ()
                names = [n for n in asked or selection.join_keys if n in selection.join_keys]
                found.setdefault(label, (names, []))[1].append((at, output))
            known[answers.features] = found
        yield answers, known[answers.features]


def profile_training(
    made: TrainingSet, state: RegistryState, now: int
) -> tuple[list[Profile], dict[str, EntityKeys]]:
    """Return the profiles of a training set's features, and the entities of its spine by view.

    Args:
        made: the training set.
        state: of the registry.
        now: the present, UTC microseconds: what ages are of.
    """
    table = made.to_arrow()
    if table.num_rows > TRAINING_ROWS:
        import numpy as np

        table = table.take(np.linspace(0, table.num_rows - 1, TRAINING_ROWS).astype(np.int64))
    selection = made.plan.selection
    moments = spine_times(table, made.plan.timestamp).tolist()
    chosen: dict[tuple[str, ...], list[int]] = {}
    profiles, keys = [], {}
    marked = personal(state)
    for output in selection.outputs:
        view = state.view(output.view, output.version)
        asked = view.asked_entity.key_names if isinstance(view, FeatureView) else ()
        names = tuple(n for n in asked or selection.join_keys if n in selection.join_keys)
        if names not in chosen:
            every = _keys([table[name].to_pylist() for name in names], len(moments))
            chosen[names] = _last_rows(every, moments)
        rows = chosen[names]
        label = f"{output.view}@v{output.version}"
        if label not in keys:
            every = _keys([table[name].to_pylist() for name in names], len(moments))
            keys[label] = EntityKeys()
            keys[label].add([every[row] for row in rows], [moments[row] for row in rows])
        profiler = _profiler(output, marked, now)
        profiler.add_array(table[output.name].take(rows))
        span = (min(moments, default=now), max(moments, default=now))
        profiles.append(
            profiler.profile(
                output.reference, point=TRAINING, start=span[0], end=span[1], id=made.id
            )
        )
    return profiles, keys


def _keys(columns: list[list[Any]], rows: int) -> list[tuple[Any, ...]]:
    """Return the key of each row; where nobody has to give one, all have the same."""
    return list(zip(*columns, strict=True)) if columns else [()] * rows


def _last_rows(keys: Iterable[tuple[Any, ...]], moments: list[int]) -> list[int]:
    """Return for each entity the row with the latest moment."""
    found: dict[tuple[Any, ...], int] = {}
    for row, key in enumerate(keys):
        known = found.get(key)
        if known is None or moments[row] >= moments[known]:
            found[key] = row
    return list(found.values())


# ------------------------------------------------------------------------------------------- kept


def keep(
    ledger: Ledger,
    profiles: Iterable[Profile],
    keys: Mapping[str, EntityKeys] | None = None,
    **about: Any,
) -> None:
    """Put profiles and the entities they are of into the ledger."""
    said: list[tuple[str, Mapping[str, Any]]] = [(KIND, each.to_record()) for each in profiles]
    for label, each in (keys or {}).items():
        said.append((KEYS_KIND, {"of": label, **about, **each.to_record()}))
    ledger.record_all(said)


def stored(
    ledger: Ledger,
    *,
    points: Sequence[str],
    since: int | None = None,
    of: Sequence[str] | None = None,
) -> Iterator[Profile]:
    """Yield the profiles that were kept, oldest first.

    Args:
        ledger: of the repo.
        points: ``online``, ``served`` or ``training``.
        since: kept from this moment on, UTC microseconds.
        of: of these features (with versions) alone; None: of all.
    """
    wanted = None if of is None else set(of)
    named = [b'"point":"%s"' % point.encode() for point in points]
    if wanted is not None and len(wanted) <= 4:
        named = [b'"of":"%s"' % name.encode() for name in wanted]
    for record in ledger.records(kinds=[KIND], since=since, containing=named):
        data = record.data
        if data["point"] in points and (wanted is None or data["of"] in wanted):
            yield Profile.from_record(data)


def newest(profiles: Iterable[Profile]) -> dict[str, Profile]:
    """Return the newest profile of each feature."""
    found: dict[str, Profile] = {}
    for profile in profiles:
        known = found.get(profile.of)
        if known is None or profile.end >= known.end:
            found[profile.of] = profile
    return found


def stored_keys(ledger: Ledger, point: str) -> dict[str, tuple[EntityKeys, str]]:
    """Return for each view the newest entities that were kept of a point, and of what they are."""
    return {
        record.data["of"]: (EntityKeys.from_record(record.data), record.data.get("id", ""))
        for record in ledger.records(kinds=[KEYS_KIND])
        if record.data["point"] == point
    }
