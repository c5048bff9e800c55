"""Feature groups: tables of values that jobs have computed, one row for each change of an entity.

Hopsworks and SageMaker describe them alike. A group is a source, and a view of its newest row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from skewless.plugs.migrate.written import (
    Entities,
    Translation,
    column_of,
    file_of,
    python_name,
    source_code,
    typed,
    view_code,
)


@dataclass
class Group:
    """A feature group, its types and options as code.

    Attributes:
        name: there.
        keys: join key to type.
        columns: of the other values: type, and words.
        event_time: the column of it.
        known_time: the column of it, if there is one.
        table: where its history lies, if it can be read.
        ttl: how long a value is valid, if not for ever.
        description: of the group.
        labels: owner and tags.
    """

    name: str
    keys: dict[str, str]
    columns: dict[str, tuple[str, str]]
    event_time: str
    known_time: str | None = None
    table: str | None = None
    ttl: str | None = None
    description: str = ""
    labels: dict[str, Any] = field(default_factory=dict)


def write(groups: Iterable[Group], result: Translation, title: str) -> None:
    """Write the definitions of groups into a translation."""
    groups = list(groups)
    names = {each.name: python_name(each.name) for each in groups}
    rows = {each.name: f"{names[each.name]}_rows" for each in groups}
    entities = Entities(result, {*names.values(), *rows.values()})
    sources, views = [], []
    for group in groups:
        name, source = names[group.name], rows[group.name]
        if name != group.name:
            result.note(group.name, f"called {name} here")
        keys = {key: python_name(key) for key in group.keys}
        entity = entities.of(
            "_".join(keys.values()), {keys[key]: kind for key, kind in group.keys.items()}, name
        )
        renamed = {new: old for old, new in keys.items() if new != old}
        if renamed:
            result.note(name, f"its key is asked for as {', '.join(renamed)}")
        columns = group.keys | {each: typed(*said) for each, said in group.columns.items()}
        sources.append(
            source_code(
                source, columns,
                event_time=group.event_time, known_time=group.known_time, table=group.table,
            )
        )  # fmt: skip
        ttl = f'ttl="{group.ttl}"' if group.ttl else ""
        features: dict[str, str] = {}
        for column in group.columns:
            made = python_name(column)
            if made in features:
                result.note(f"{name}:{column}", f"left out: {made} is there already")
                continue
            if made != column:
                result.note(f"{name}:{column}", f"called {made} here")
            features[made] = f"{column_of(source, column)}.latest({ttl})"
        views.append(
            view_code(
                name, entity=entity, source=source, features=features,
                description=group.description, labels=group.labels, on=renamed,
            )
        )  # fmt: skip
    result.code = file_of(title, [str(entities), *sources, *views])
