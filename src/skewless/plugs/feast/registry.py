"""What Feast says of its registry: ``feast registry-dump``, and the parts of it that count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.errors import InputError

Spec = Mapping[str, Any]
DUMMY = "__dummy"
"""Feast's entity of views that have none."""


def dump(folder: Path, python: str | None = None) -> dict[str, Any]:
    """Return Feast's registry of a feature repo as plain data.

    Args:
        folder: with ``feature_store.yaml``; ``feast apply`` has run there.
        python: an interpreter that has Feast; by default this one.

    Raises:
        InputError: it is no feature repo, or Feast cannot tell its registry.
    """
    if not (folder / "feature_store.yaml").exists():
        raise InputError(
            "not a feature repo of Feast",
            got=str(folder),
            expected="a folder with feature_store.yaml",
        )
    out = run_feast(python, folder, "-m", "feast.cli.cli", "registry-dump")
    start = out.find("{")
    if start < 0:
        raise InputError(
            "Feast's registry is empty", got=f"{out:.200}" or "nothing", where=str(folder),
            hint="Run feast apply there first.",
        )  # fmt: skip
    return json.loads(out[start:])  # type: ignore[no-any-return]


def run_feast(python: str | None, folder: Path, *arguments: str) -> str:
    """Run something in the interpreter that has Feast; return what it prints.

    Raises:
        InputError: it fails, with the last line of what it said.
    """
    command = [python or sys.executable, *arguments]
    environment = os.environ | {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as problem:
        raise InputError(
            "no such Python", got=command[0], hint="--python .venv/bin/python"
        ) from problem
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise InputError(
            "Feast does not run", got=said[-1] if said else f"exit code {done.returncode}",
            where=str(folder), hint="Name one that has Feast: --python path/to/venv/bin/python",
        )  # fmt: skip
    return done.stdout


@dataclass(frozen=True)
class View:
    """A feature view of Feast.

    Attributes:
        spec: as Feast has it.
    """

    spec: Spec

    @property
    def name(self) -> str:
        """Of the view."""
        return str(self.spec["name"])

    @property
    def entities(self) -> list[str]:
        """Names of its entities; none for a view over everything."""
        return [name for name in self.spec.get("entities", ()) if name != DUMMY]

    @property
    def keys(self) -> dict[str, str]:
        """Join key to type."""
        columns = self.spec.get("entityColumns", ())
        return {c["name"]: c["valueType"] for c in columns if c["name"] != f"{DUMMY}_id"}

    @property
    def batch(self) -> Spec:
        """The source that its history is read from."""
        stream = self.spec.get("streamSource") or self.spec.get("source") or {}
        found: Spec = self.spec.get("batchSource") or stream.get("batchSource") or stream
        return found

    @property
    def source(self) -> Spec:
        """The source that it is defined over: a push or stream source, else ``batch``."""
        found: Spec = self.spec.get("streamSource") or self.spec.get("source") or self.batch
        return found

    @property
    def ttl(self) -> int:
        """In microseconds; 0: without end."""
        return round(float(str(self.spec.get("ttl", "0s")).removesuffix("s") or 0) * 1e6)

    @property
    def features(self) -> list[Spec]:
        """Name, type and words of each."""
        return list(self.spec.get("features", ()))

    def column(self, name: str) -> str:
        """Return the column of the source that is called ``name`` in the view."""
        mapping: Mapping[str, str] = self.batch.get("fieldMapping", {})
        return next((column for column, given in mapping.items() if given == name), name)


def views(registry: Mapping[str, Any]) -> Iterator[View]:
    """Yield the feature views with columns of their own: plain, stream and label views."""
    for kind in ("featureViews", "streamFeatureViews", "labelViews"):
        for each in registry.get(kind, ()):
            yield View(each["spec"])


def specs(registry: Mapping[str, Any], kind: str) -> list[Spec]:
    """Return what is defined of a kind, such as ``entities``."""
    return [each.get("spec", each) for each in registry.get(kind, ())]
