"""Definitions as code: what importers of other feature stores write, and say beside it."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.definitions import Source


@dataclass
class Translation:
    """Definitions, and what a reader should know of them.

    Attributes:
        code: of ``features.py``.
        mapped: what was translated, by kind: how many of how many.
        notes: what differs or was left out: name and sentence.
        contract: differences of contract that no definition can bridge.
    """

    code: str = ""
    mapped: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    contract: tuple[str, ...] = ()

    def note(self, name: str, text: str) -> None:
        """Say something of what is called ``name``."""
        self.notes.append((name, text))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "mapped": {kind: {"mapped": a, "of": b} for kind, (a, b) in self.mapped.items()},
            "notes": [{"name": name, "note": note} for name, note in self.notes],
            "contract": list(self.contract),
        }

    def __str__(self) -> str:
        lines = [f"{kind}: {a} of {b}" for kind, (a, b) in self.mapped.items()]
        lines += [f"  {name}: {note}" for name, note in self.notes]
        return "\n".join([*lines, "Everywhere:", *(f"  {each}" for each in self.contract)])


class Entities:
    """The entities of a file: one for each set of typed keys that is asked for by a name.

    Args:
        result: gets a note where a view's key has a type of its own.
        taken: names of the file that an entity cannot have.
    """

    def __init__(self, result: Translation, taken: Iterable[str] = ()) -> None:
        self._result = result
        self._taken = set(taken)
        self._made: dict[str, str] = {}

    def of(self, name: str, keys: Mapping[str, str], view: str) -> str:
        """Return what the entity of a view is called.

        Args:
            name: that it should have.
            keys: join key to type, as code.
            view: whose it is; it stands in the note, and in the name of an entity of its own.
        """
        code = ", ".join(f"{key}={kind}" for key, kind in keys.items())
        name = f"{name}_entity" if name in self._taken else name
        if self._made.get(name, code) != code:
            self._result.note(view, f"its key is of another type than in other views: {code}")
            name = f"{name}_of_{view}"
        self._made[name] = code
        return name

    def __str__(self) -> str:
        return "\n".join(
            f"{name} = sl.Entity({', '.join(filter(None, (as_text(name), keys)))})"
            for name, keys in self._made.items()
        )


def file_of(title: str, parts: Iterable[str]) -> str:
    """Return ``features.py`` of its parts, with the imports they need."""
    body = "\n\n\n".join(part for part in parts if part)
    imports = ["import skewless as sl"]
    if names := [n for n in ("date", "datetime") if re.search(rf"(?<![\w\"]){n}\b(?!\")", body)]:
        imports.insert(0, f"from datetime import {', '.join(names)}\n")
    return f'"""{title}"""\n\n' + "\n".join(imports) + "\n\n" + body + "\n"


def source_code(name: str, columns: Mapping[str, str], **options: str | None) -> str:
    """Return a source: columns to types and its options, all as code."""
    lines = [f"    {option}={code},\n" for option, code in options.items() if code]
    schema = f"    schema={{\n{as_lines(columns)}    }},\n"
    return f"{name} = sl.Source(\n    {as_text(name)},\n{schema}{''.join(lines)})"


def view_code(
    name: str, *, entity: str, source: str, features: Mapping[str, str], description: str = "",
    labels: Mapping[str, Any] | None = None, on: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Return a feature view: features to their expressions.

    Args:
        name: of the view.
        entity: its variable.
        source: its variable.
        features: to their expressions, as code.
        description: of the view.
        labels: owner and tags.
        on: join key to column, where the table calls it otherwise.
    """
    said = ({"on": dict(on)} if on else {}) | dict(labels or {})
    options = "".join(f", {label}={as_text(value)}" for label, value in said.items())
    lines = [f"@sl.feature_view(entity={entity}, source={source}{options})", f"class {name}:"]
    if description:
        lines.append(f"    {as_text(description)}\n")
    return "\n".join([*lines, *(f"    {made} = {code}" for made, code in features.items())])


def is_name(name: str) -> bool:
    """Return whether Python and this store can call something so."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def python_name(text: str) -> str:
    """Return a name of Python for something that may be called anything."""
    name = re.sub(r"\W", "_", text)
    return name if is_name(name) else f"the_{name.lstrip('_')}"


def as_text(text: Any) -> str:
    """Return plain data as code, with double quotes."""
    return json.dumps(text, ensure_ascii=False)


def as_lines(columns: Mapping[str, Any], indent: int = 8) -> str:
    """Return lines of a dict: names to what is code already."""
    return "".join(f"{'':{indent}}{as_text(name)}: {kind},\n" for name, kind in columns.items())


def column_of(source: str, column: str) -> str:
    """Return how a column is named: an attribute, or an item where a method is called so."""
    free = is_name(column) and not hasattr(Source, column)
    return f"{source}.{column}" if free else f"{source}[{as_text(column)}]"


def typed(kind: str, words: str | None) -> str:
    """Return a column of a schema: its type, with words where there are any."""
    return f"sl.Column({kind}, {as_text(words)})" if words else kind
