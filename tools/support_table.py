"""Writes the table of online stores into docs/stores.md: `python tools/support_table.py`.

The table is made from each store's `Capabilities`; a test fails while the page holds another one.
`--check` only says whether it does.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from skewless.plugins import BUILT_IN, EXTRAS, find
from skewless.stores.online.base import Capabilities

PAGE = Path(__file__).resolve().parent.parent / "docs" / "stores.md"
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


def written(page: str) -> str:
    """Return a page with the table that it should have."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} lacks the lines\n{BEGIN}\n{END}")
    return before + table() + after


def main() -> int:
    """Write the page, or with --check say whether it is current."""
    parser = argparse.ArgumentParser(description="Writes the table of stores into docs/stores.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if it is old")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    new = written(page)
    if check and new != page:
        sys.stderr.write("docs/stores.md is old; run: python tools/support_table.py\n")
        return 1
    if not check:
        PAGE.write_text(new, encoding="utf-8")
    return 0


def _cell(kind: str, field: str, value: bool | int | None) -> str:
    if (kind, field) in ASKED:
        return ASKED[kind, field]
    if field == "verified":
        return "yes" if value else UNVERIFIED
    if field == "max_value_bytes":
        return "any" if value is None else _bytes(value)
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
