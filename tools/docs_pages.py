"""The pages of the docs that are made from the code: commands, settings, forms, support, metrics.

`pages()` needs skewless alone; `tools/docs_site.py` hands them to mkdocs. None of them is kept in
the repo, so that none can be old.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import support_table

import skewless
from skewless import config
from skewless.aggregations import AGGREGATIONS, forms
from skewless.aggregations.windows import WINDOWS, Window
from skewless.cli.main import COMMANDS
from skewless.cli.main import main as skewless_command
from skewless.cli.options import Command
from skewless.definitions import tables
from skewless.errors import DefinitionError
from skewless.plugins import BUILT_IN, find
from skewless.serving.operate.metrics import Metrics
from skewless.types import Bool, Decimal, DType, Float64, Int64, String, Timestamp

ROOT = Path(__file__).resolve().parent.parent
WIDE = "---\nhide: [toc]\n---\n"
MADE = "Made from the code when the docs are built.\n"
HANDED_IN = {"project", "clock", "folder"}
"""Options of registries that the store gives, not `skewless.toml`."""
COLUMN_TYPES: tuple[DType, ...] = (Float64, Int64, Decimal(12, 2), Bool, Timestamp, String)


def pages() -> dict[str, str]:
    """Return the Markdown of every page that is made, by its address."""
    return {
        "examples.md": examples(),
        "reference/python.md": python(),
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/aggregations.md": aggregations(),
        "reference/support.md": support(),
        "reference/metrics.md": metrics(),
    }


def examples() -> str:
    """Return the gallery: the README and the programs of each folder below examples/."""
    parts = [
        "# Examples\n",
        "Each is a folder of `examples/` in the repository that runs as it stands: the tests run"
        " every one of them, in an empty folder, and look at what it prints. For a longer one on"
        " real data see the [tutorial](tutorial.md).\n",
    ]
    for folder in example_folders():
        parts.append(_lower_headings((folder / "README.md").read_text(encoding="utf-8")))
        for program in sorted(folder.glob("*.py")):
            title = f"examples/{folder.name}/{program.name}"
            code = program.read_text(encoding="utf-8")
            parts.append(f'??? example "{title}"\n\n{_indented(_fenced("python", code))}\n')
    return "\n".join(parts)


def example_folders() -> list[Path]:
    """Return the folders of the gallery."""
    return sorted(readme.parent for readme in (ROOT / "examples").glob("*/README.md"))


def python() -> str:
    """Return every public name with its signature and docstring."""
    parts = [
        "# Python\n",
        MADE,
        "`import skewless as sl`; what is not here is not public.\n",
    ]
    public = {name: getattr(skewless, name) for name in skewless.__all__}
    groups: dict[str, Callable[[Any], bool]] = {
        "The store and its client": lambda made: (
            made in (skewless.FeatureStore, skewless.Client, skewless.AsyncClient, skewless.Config)
        ),
        "Errors": lambda made: isinstance(made, type) and issubclass(made, Exception),
        "Tables and streams": lambda made: (
            isinstance(made, type) and issubclass(made, tables.Located)
        ),
        "Types": lambda made: (
            isinstance(made, DType) or (isinstance(made, type) and issubclass(made, DType))
        ),
        "Definitions and results": lambda _: True,
    }
    for title, belongs in groups.items():
        chosen = {name: made for name, made in public.items() if belongs(made)}
        public = {name: made for name, made in public.items() if name not in chosen}
        parts.append(f"## {title}\n")
        for name, made in sorted(chosen.items()):
            parts.append(_documented(f"### `sl.{name}`", f"sl.{name}", made))
            if title.startswith("The store"):
                parts += [
                    _documented(f"#### `{name}.{verb}`", verb, function)
                    for verb, function in vars(made).items()
                    if not verb.startswith("_") and inspect.isfunction(function)
                ]
    return "\n".join(parts)


def commands() -> str:
    """Return usage, help, options and example of every command."""
    parts = [
        "# All commands and options\n",
        MADE,
        "How they are used: [the command line](../cli.md).\n",
    ]
    parent = click.Context(skewless_command, info_name="skewless")
    for section, names in COMMANDS.items():
        parts.append(f"## {section}\n")
        for name in names:
            command = skewless_command.get_command(parent, name)
            assert isinstance(command, Command), name
            parts += _command(command, click.Context(command, parent, info_name=name))
    return "\n".join(parts)


def settings() -> str:
    """Return the sections of `skewless.toml` and the options of everything one can name there."""
    text = inspect.cleandoc(config.__doc__ or "")
    parts = ["# Settings: `skewless.toml`\n", MADE]
    for block in re.split(r"\n\n(?=\S)", text):
        prose, *lines = re.split(r"\n\n(?=    )", block, maxsplit=1)
        parts.append(prose.replace("``", "`") + "\n")
        parts += [_fenced("toml", textwrap.dedent(line)) for line in lines]
    for title, group, what in (
        ("Online stores", "online_store", "`[online]`, `[stores.NAME]`, `[journal]`"),
        ("Registries", "registry", "`[registry]`"),
    ):
        parts.append(f"## {title}\n\nOptions of {what}, by `kind`.\n")
        for kind in sorted(BUILT_IN[group].keys() - support_table.LEFT_OUT):
            made = find(group, kind)
            parts += [f'### `kind = "{kind}"`\n', _first_line(made), _options_of(made)]
    return "\n".join(parts)


def aggregations() -> str:
    """Return which aggregation runs in which form over which window and type of column."""
    windows = {kind: window.examples() for kind, window in WINDOWS.items()}
    flat = {each.kind: each for examples in windows.values() for each in examples}
    parts = [
        f"{WIDE}# Aggregations and windows\n",
        MADE,
        "How they are written: [definitions](../definitions.md#aggregations); what each value is,"
        " to the edge: [what a value is](../semantics.md).\n",
        "## Forms\n",
        _table(["form", "cost"], [[f"`{form}`", cost] for form, cost in forms.COSTS.items()]),
        "## By type of column\n",
        "`training sets / online`; empty where the aggregation does not take the type.\n",
        _table(
            ["aggregation", "result of Float64", *(f"`{dtype!r}`" for dtype in COLUMN_TYPES)],
            [_by_type(name) for name in sorted(AGGREGATIONS)],
        ),
        "## By window\n",
        "What states keep online, for numbers; empty where the window is refused.\n",
        _table(
            ["aggregation", *(f"`{kind}`" for kind in flat)],
            [
                [f"`{name}`", *(_kept(name, window) for window in flat.values())]
                for name in sorted(AGGREGATIONS)
            ],
        ),
    ]
    return "\n".join(parts)


def support() -> str:
    """Return the tables of what stores, tables and streams can do."""
    streams = [
        [f"`{kind}`", f"`sl.{_public_name(tables.Stream, kind)}`", _first_line(reader)]
        for kind in BUILT_IN["stream"]
        for reader in (find("stream", kind),)
    ]
    parts = [
        f"{WIDE}# Support of stores, tables and streams\n",
        MADE,
        f"## Online stores\n\nWhat the columns mean: [online stores](../stores.md).\n\n"
        f"{support_table.table()}\n",
        f"## Tables\n\nMore: [tables and event logs](../offline-stores.md).\n\n"
        f"{support_table.table_of_tables()}\n",
        "## Streams\n\nMore: [streams](../streams.md).\n",
        _table(["kind", "in definitions", ""], streams),
        "## Places for event logs\n",
        _table(
            ["kind", ""],
            [
                ["Parquet files", "In the folder of `[offline]`; the default."],
                *([f"`{kind}`", _first_line(find("log", kind))] for kind in BUILT_IN["log"]),
            ],
        ),
        "## Registries\n",
        _table(
            ["kind", ""],
            [[f"`{kind}`", _first_line(find("registry", kind))] for kind in BUILT_IN["registry"]],
        ),
    ]
    return "\n".join(parts)


def metrics() -> str:
    """Return the metrics of a server, by name."""
    rows = [
        [
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.text,
        ]
        for metric in sorted(Metrics().all, key=lambda metric: metric.name)
    ]
    parts = [
        "# Metrics\n",
        MADE,
        "What `GET /metrics` of a server says; see [serving over HTTP](../serving.md#metrics) for"
        " what to watch.\n",
        _table(["metric", "type", "labels", "meaning"], rows),
    ]
    return "\n".join(parts)


# --------------------------------------------------------------------------------------- private


def _command(command: Command, ctx: click.Context) -> Iterator[str]:
    yield f"### `skewless {ctx.info_name}`\n"
    yield _fenced("text", " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)]))
    yield _as_markdown(inspect.cleandoc(command.help or ""))
    records = [
        record
        for parameter in command.get_params(ctx)
        if (record := parameter.get_help_record(ctx)) is not None
    ]
    yield _table(
        ["argument, option", ""], [[f"`{_cell(name)}`", _cell(text)] for name, text in records]
    )
    yield _fenced("console", "\n".join(f"$ {line}" for line in command.example.splitlines()))
    if command.no:
        yield f"Exit code 1: {command.no}\n"


def _by_type(name: str) -> list[str]:
    kind = AGGREGATIONS[name].examples()[0]
    window = WINDOWS["sliding"].examples()[0]
    cells, result = [], ""
    for dtype in COLUMN_TYPES:
        try:
            found = repr(kind.result_type(dtype))
        except DefinitionError:
            cells.append("")
            continue
        result = f"`{found}`" if dtype is Float64 else result
        shown = forms.forms_of(kind, dtype, window)
        cells.append(f"{shown.training} / {shown.online}")
    return [f"`{name}`", result, *cells]


def _kept(name: str, window: Window) -> str:
    kind = AGGREGATIONS[name].examples()[0]
    try:
        kind.check_window(window)
    except DefinitionError:
        return ""
    return forms.forms_of(kind, Float64, window).keeps


def _public_name(root: type[tables.Located], kind: str) -> str:
    return next(
        name
        for name in skewless.__all__
        if isinstance(made := getattr(skewless, name), type)
        and issubclass(made, root)
        and made.kind == kind
    )


def _options_of(made: type[Any]) -> str:
    said = _arguments(inspect.getdoc(made) or "")
    rows = []
    for name, parameter in inspect.signature(made).parameters.items():
        if name not in HANDED_IN:
            no_default = parameter.default is inspect.Parameter.empty
            default = "needed" if no_default else f"`{parameter.default!r}`"
            rows.append(
                [f"`{name}`", f"`{_annotation(parameter.annotation)}`", default, said.get(name, "")]
            )
    return _table(["option", "type", "default", ""], rows)


def _arguments(doc: str) -> dict[str, str]:
    """Return what a docstring says of each argument."""
    found = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", doc, re.MULTILINE)
    if found is None:
        return {}
    entries = re.split(r"^(?=\w+: )", textwrap.dedent(found[1]), flags=re.MULTILINE)
    pairs = (entry.partition(": ") for entry in entries if ": " in entry)
    return {name: _cell(" ".join(text.split())) for name, _, text in pairs}


def _documented(heading: str, name: str, made: Any) -> str:
    parts = [f"{heading}\n"]
    if callable(made):
        try:
            signature = inspect.signature(made)
        except ValueError:
            signature = None
        if signature is not None:
            parts.append(_fenced("python", _signature(name, signature)))
    own = made if isinstance(made, type) or inspect.isroutine(made) else type(made)
    parts.append(_as_markdown(inspect.getdoc(own) or ""))
    return "\n".join(parts)


def _signature(name: str, signature: inspect.Signature) -> str:
    """Return a signature as it would be written, an argument a line where it is long."""
    shown: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(
            each.startswith("*") for each in shown
        ):
            shown.append("*")
        stars: dict[Any, str] = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        text = stars.get(parameter.kind, "") + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        shown.append(text)
    returned = signature.return_annotation
    after = "" if returned in (signature.empty, None, "None") else f" -> {_annotation(returned)}"
    line = f"{name}({', '.join(shown)}){after}"
    if len(line) < 88:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){after}"


def _annotation(written: Any) -> str:
    return written if isinstance(written, str) else inspect.formatannotation(written)


def _as_markdown(doc: str) -> str:
    """Return a docstring as Markdown: examples fenced, arguments as a list."""
    found: list[str] = []
    for block in doc.split("\n\n"):
        if block.lstrip().startswith(">>>"):
            found.append(_fenced("pycon", textwrap.dedent(block)))
            continue
        lines = block.replace("``", "`").splitlines()
        head = re.fullmatch(r"(Args|Attributes|Raises|Returns|Yields):", lines[0] if lines else "")
        if head is not None:
            entries = re.split(r"^(?=[\w*]+: )", textwrap.dedent("\n".join(lines[1:])), flags=re.M)
            items = [" ".join(entry.split()) for entry in entries if entry.strip()]
            found += [f"**{head[1]}**\n", *(_item(item) for item in items), ""]
        elif all(line.startswith("    ") for line in lines if line):
            found.append(_fenced("text", textwrap.dedent(block)))
        else:
            found.append("\n".join(lines) + "\n")
    return "\n".join(found)


def _item(text: str) -> str:
    name, colon, rest = text.partition(": ")
    return f"- `{name}`: {rest}" if colon and re.fullmatch(r"[\w*]+", name) else f"- {text}"


def _first_line(made: Any) -> str:
    return _cell((inspect.getdoc(made) or "").partition("\n")[0].replace("``", "`")) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").strip()


def _table(headings: list[str], rows: Iterable[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.strip() for cell in line)} |\n" for line in lines)


def _fenced(language: str, code: str) -> str:
    return f"```{language}\n{code.strip()}\n```\n"


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def _lower_headings(text: str) -> str:
    """Return a page as a section of another one; lines of code blocks are no headings."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if part.startswith("```") else re.sub(r"^#", "##", part, flags=re.MULTILINE)
        for part in parts
    )
