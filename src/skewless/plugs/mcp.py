"""The catalogue for agents: a server of the Model Context Protocol, which only reads.

    skewless mcp --repo features      # over standard input and output, as assistants start it

Its tools find features, show and explain them, say how fresh they are and what depends on what, and
write the lines that use them. None of them writes, and none gives the values of an entity but
``explain``, which can be left out: ``--no-values``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from skewless.clock import iso
from skewless.errors import SkewlessError
from skewless.monitoring.snippets import example_of, snippets
from skewless.store import FeatureStore
from skewless.version import __version__

_INSTRUCTIONS = (
    "A feature store: its features are typed, owned and versioned. Search before you propose a new "
    "feature; show says what a name stands for; snippet gives lines that run. Names are "
    "View:feature, View, a source, or a feature service."
)
_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True)


class Catalogue:
    """What an agent may ask; each method is a tool, its docstring is what the agent reads.

    Args:
        fs: the open repo.
    """

    def __init__(self, fs: FeatureStore) -> None:
        self._fs = fs

    def search(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """Find features by words: "spend last week", "owner:fraud entity:card velocity"."""
        return self._fs.search(text, limit)

    def show(self, name: str) -> dict[str, Any]:
        """Show a feature (View:feature), a view, a source, an entity or a feature service."""
        return self._fs.show(name).to_dict()

    def explain(
        self, feature: str, entity: dict[str, Any], at: str | None = None
    ) -> dict[str, Any]:
        """Show which rows count for the value of a feature of one entity, and why others do not.

        The entity is its join keys, such as {"card_id": "c1"}; ``at`` is a moment in ISO 8601, by
        default now.
        """
        return self._fs.explain(feature, entity, at=at).to_dict()

    def freshness(self, view: str | None = None) -> list[dict[str, Any]]:
        """Say how old the newest event of each view is, beside what its owner promised."""
        views: list[dict[str, Any]] = self._fs.freshness().to_dict()["views"]
        return [each for each in views if view in (None, each["view"])]

    def lineage(self, name: str, up: int = 2, down: int = 2) -> dict[str, Any]:
        """Say from which columns something comes, and what is made of it, with so many steps."""
        return self._fs.lineage(name, up=up, down=down).to_dict()

    def snippet(self, features: list[str]) -> list[dict[str, str]]:
        """Write the lines that read features: a training set, online, over HTTP, in a shell.

        ``features`` are references (View:feature), or the name of one feature service.
        """
        asked: str | list[str] = features
        if len(features) == 1 and ":" not in features[0]:
            asked = features[0]
        selection = self._fs.runtime.reader.lookup(asked, False).selection
        types = {**selection.join_keys, **{each.name: each.dtype for each in selection.requests}}
        at = iso(self._fs.runtime.clock.now())
        wanted: str | list[str] = [output.reference for output in selection.outputs]
        if isinstance(asked, str) and asked in self._fs.services:
            wanted = asked
        return snippets(wanted, example_of(types, {}, at), str(self._fs.config.folder), at)


def server(fs: FeatureStore, *, values: bool = True) -> MCPServer[Any]:
    """Return the server of a repo.

    Args:
        fs: the open repo.
        values: whether ``explain`` is among the tools: it shows rows of an entity.
    """
    made: MCPServer[Any] = MCPServer(
        "skewless", version=__version__, instructions=_INSTRUCTIONS, log_level="ERROR"
    )
    catalogue = Catalogue(fs)
    tools = ["search", "show", "freshness", "lineage", "snippet", *(["explain"] if values else [])]
    for name in tools:
        method = getattr(catalogue, name)
        made.add_tool(
            _told(method), name=name, description=method.__doc__, annotations=_READS,
            structured_output=False,
        )  # fmt: skip
    return made


def serve(repo: str, *, values: bool = True) -> None:
    """Serve a repo over standard input and output until the other side closes them."""
    with FeatureStore(repo) as fs:
        server(fs, values=values).run("stdio")


def _told(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a tool whose errors reach the agent with what, got, expected and hint."""
    from functools import wraps

    @wraps(method)
    def tool(*args: Any, **named: Any) -> Any:
        try:
            found = method(*args, **named)
        except SkewlessError as problem:
            raise ToolError(str(problem)) from problem
        return json.dumps(found, default=str, ensure_ascii=False)

    return tool
