"""What was served: answers to online reads, as results at hand or as lines of a served log.

    for answers in read_log(Path(".skewless/served"), state, skipped):
        ...

A line of a served log is JSON (format 2, see `skewless.serving.read.served_log`)::

    {"format": 2, "at": 1767261600000000, "features": ["Spend@v1:mean_24h"],
     "entity": {"card_id": "c1"}, "values": [3.0], "statuses": ["present"], ...}

Values have the form of `skewless.codec`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.codec import read_back
from skewless.errors import InputError, RegistryError, UnknownName
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.results import OnlineResult
from skewless.plan.selection import Selection, select

FORMAT = 2
_PIECE = 100_000


@dataclass
class Answers:
    """Answers to online reads for one list of features; all lists are equally long.

    Attributes:
        features: full references, versions included.
        entities: join keys and request fields of each answer.
        times: its moment, UTC microseconds.
        values: its values, in order of the features.
        statuses: their statuses, as text.
        requests: the id of the request of each; empty where it is not known.
    """

    features: tuple[str, ...]
    entities: list[Mapping[str, Any]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[Sequence[Any]] = field(default_factory=list)
    statuses: list[Sequence[str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def add(self, result: OnlineResult) -> None:
        """Add the answers of a result for the same features."""
        self.entities += result.entities
        self.times += [result.at] * len(result.entities)
        self.values += result.values
        self.statuses += [[status.value for status in row] for row in result.statuses]
        self.requests += [""] * len(result.entities)


def gathered(results: Iterable[OnlineResult]) -> list[Answers]:
    """Return the answers of results, those for the same features together."""
    found: dict[tuple[str, ...], Answers] = {}
    for result in results:
        features = tuple(output.reference for output in result.outputs)
        found.setdefault(features, Answers(features)).add(result)
    return list(found.values())


def read_log(
    path: Path,
    state: RegistryState,
    skipped: Counter[str],
    *,
    wanted: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> Iterator[Answers]:
    """Yield the answers of a served log, in pieces.

    Args:
        path: a file of it, or the folder.
        state: of the registry: knows the types of the features.
        skipped: is told how many lines were left out, by reason.
        wanted: whether a line is read, by what it says.

    Raises:
        InputError: there is no such log, or a line is none of a served log.
    """
    waiting: dict[tuple[str, ...], Answers] = {}
    known: dict[tuple[str, ...], Selection | None] = {}
    for where, line in lines_of(path):
        if not wanted(line):
            continue
        features = tuple(line["features"])
        if features not in known:
            known[features] = _selected(state, features)
        selection = known[features]
        if selection is None:
            skipped["of features that are no longer served"] += 1
            continue
        answers = waiting.setdefault(features, Answers(features))
        _add(answers, line, selection, where)
        if len(answers) >= _PIECE:
            yield waiting.pop(features)
    yield from waiting.values()


def lines_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and content of each line; the last of a file may be cut by a kill."""
    files = sorted(path.glob("served-*.jsonl")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise InputError(
            "there is no served log",
            got=str(path),
            expected="a file, or a folder with files served-*.jsonl",
            hint="Let serving keep one: skewless serve --served-log 0.01.",
        )
    for file in files:
        with file.open("rb") as lines:
            for number, text in enumerate(lines, 1):
                where = f"{file}, line {number}"
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError):
                    if not text.endswith(b"\n"):
                        continue
                    got = text[:80].decode("utf-8", "backslashreplace")
                    raise InputError("not JSON", got=got, where=where) from None
                if not isinstance(line, dict) or line.get("format") != FORMAT:
                    raise InputError(
                        "not a line of a served log",
                        got=text[:80].decode(),
                        expected=f'an object with "format": {FORMAT}',
                        where=where,
                    )
                yield where, line


def _selected(state: RegistryState, features: tuple[str, ...]) -> Selection | None:
    try:
        return select(state, list(features), full_names=True)
    except (UnknownName, RegistryError):
        return None


def _add(answers: Answers, line: dict[str, Any], selection: Selection, where: str) -> None:
    """Add a line, its texts turned into values of the features' types."""
    given = dict(selection.join_keys) | {r.name: r.dtype for r in selection.requests}
    try:
        entity = {name: read_back(line["entity"][name], dtype) for name, dtype in given.items()}
        values = [
            read_back(value, output.dtype)
            for output, value in zip(selection.outputs, line["values"], strict=True)
        ]
        if len(line["statuses"]) != len(values):
            raise ValueError(f"{len(line['statuses'])} statuses for {len(values)} values")
        answers.times.append(int(line["at"]))
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as problem:
        got = f"no {problem}" if isinstance(problem, KeyError) else str(problem)
        raise InputError("not a line of a served log", got=got, where=where) from None
    answers.entities.append(entity)
    answers.values.append(values)
    answers.statuses.append(line["statuses"])
    answers.requests.append(str(line.get("request", "")))
