"""Writes the tables of stores into docs: `python tools/support_table.py`.

That of online stores is made from each store's `Capabilities`, that of kinds of tables from each
reader's `Support`; a test fails while a page holds another one. `--check` only says whether one
does.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from skewless.definitions import tables
from skewless.plugins import BUILT_IN, EXTRAS, find
from skewless.stores.online.base import Capabilities

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- support table: begin -->", "<!-- support table: end -->"
LEFT_OUT = {"memory"}
UNVERIFIED = "not verified against a server"
# What a store only knows once it has asked its server.
ASKED = {
    ("redis", "atomic_batch"): "yes, not on a cluster",
    ("redis", "durable"): "as the server is set",
    ("postgres", "durable"): "as the server is set",
}


def table() -> str:
    """Return the table in Markdown, between its markers."""
    fields = [field.name for field in dataclasses.fields(Capabilities)]
    headings = ["kind", "extra", *(field.replace("_", " ") for field in fields)]
    lines = [_line(headings), _line(["---"] * len(headings))]
    for kind in sorted(BUILT_IN["online_store"].keys() - LEFT_OUT):
        capabilities = find("online_store", kind).capabilities
        extra = f"`{kind}`" if kind in EXTRAS.values() else ""
        cells = [_cell(kind, field, getattr(capabilities, field)) for field in fields]
        lines.append(_line([f"`{kind}`", extra, *cells]))
    return "\n".join([BEGIN, *lines, END])


def table_of_tables() -> str:
    """Return the table of kinds of tables in Markdown, between its markers."""
    headings = ["table", "reads", "extra", "pushed down", "goes back by", "verified against"]
    lines = [_line(headings), _line(["---"] * len(headings))]
    names = {
        made.kind: name
        for name, made in vars(tables).items()
        if isinstance(made, type) and issubclass(made, tables.Table) and made.kind
    }
    for kind in BUILT_IN["table"]:
        reader = find("table", kind)
        support = reader.support
        cells = [
            f"`sl.{names[kind]}`",
            support.reads,
            f"`{support.extra}`" if support.extra else "",
            ", ".join(support.pushes_down),
            ", ".join(f"`{option}`" for option in reader.travels),
            support.verified or UNVERIFIED,
        ]
        lines.append(_line(cells))
    return "\n".join([BEGIN, *lines, END])


PAGES: dict[str, Callable[[], str]] = {
    "stores.md": table,
    "offline-stores.md": table_of_tables,
}
"""Page to what makes its table."""


def written(page: str, made: Callable[[], str] = table) -> str:
    """Return a page with the table that it should have."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"a page lacks the lines\n{BEGIN}\n{END}")
    return before + made() + after


def main() -> int:
    """Write the pages, or with --check say whether they are current."""
    parser = argparse.ArgumentParser(description="Writes the tables of stores into docs.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if one is old")
    check = parser.parse_args().check
    old = []
    for name, made in PAGES.items():
        page = (DOCS / name).read_text(encoding="utf-8")
        new = written(page, made)
        if new != page:
            old.append(name)
            if not check:
                (DOCS / name).write_text(new, encoding="utf-8")
    if check and old:
        sys.stderr.write(f"old: {', '.join(old)}; run: python tools/support_table.py\n")
        return 1
    return 0


def _cell(kind: str, field: str, value: bool | int | None) -> str:
    if (kind, field) in ASKED:
        return ASKED[kind, field]
    if field == "verified":
        return "yes" if value else UNVERIFIED
    if field == "max_value_bytes":
        return "any" if value is None else _bytes(value)
    if field == "together":
        return f"{value} rows" if value else ""
    return "yes" if value else ""


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} B"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
