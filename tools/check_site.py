"""Holds that a built site asks for nothing but itself: `python tools/check_site.py build/site`.

Looks at everything that a browser fetches by itself: what elements of pages name (scripts, styles,
pictures, frames, preloads), `url()` and `@import` of style sheets, and that each file they name is
there. Links that a reader may follow are no matter.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "input": ("src",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
    "link": ("href",),
}
"""Element to those of its attributes that a browser fetches."""
NOT_FETCHED = {"canonical", "next", "prev", "alternate", "edit"}
"""Relations of `link` that are only told."""
WRITES_ITS_OWN = {"mermaid"}
"""Classes for which the theme's script fetches a library from elsewhere."""
_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


class _Page(HTMLParser):
    """Collects what a page has fetched, and what its theme would fetch for it."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.libraries: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        relations = set(given.get("rel", "").split())
        if not (tag == "link" and relations and relations <= NOT_FETCHED):
            self.fetched += [given[name] for name in FETCHED.get(tag, ()) if given.get(name)]
        self.fetched += _of_style(given.get("style", ""))
        self.libraries += WRITES_ITS_OWN & set(given.get("class", "").split())

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.fetched += _of_style(data)


def _of_style(text: str) -> list[str]:
    return [first or second for first, second in _URL.findall(text)]


def problems(site: Path) -> Iterator[str]:
    """Yield what a browser would fetch from elsewhere, or would not find."""
    pages = sorted(site.rglob("*.html"))
    if not pages:
        yield f"{site}: no page"
    for page in pages:
        parser = _Page()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from (f"{_name(page, site)}: {each} loads a script" for each in parser.libraries)
        yield from _wrong(parser.fetched, page, site)
    for sheet in sorted(site.rglob("*.css")):
        yield from _wrong(_of_style(sheet.read_text(encoding="utf-8")), sheet, site)


def _wrong(fetched: list[str], where: Path, site: Path) -> Iterator[str]:
    for address in dict.fromkeys(fetched):
        parts = urlsplit(address.strip())
        if parts.scheme == "data" or not (parts.path or parts.netloc):
            continue
        if parts.scheme or parts.netloc:
            yield f"{_name(where, site)}: fetched from elsewhere: {address}"
        elif parts.path.startswith("/"):
            if where.name != "404.html":  # which a server shows under any address
                yield f"{_name(where, site)}: an absolute address: {address}"
        elif not (where.parent / unquote(parts.path)).exists():
            yield f"{_name(where, site)}: not there: {address}"


def _name(path: Path, site: Path) -> str:
    return path.relative_to(site).as_posix()


def main(arguments: list[str]) -> int:
    """Print every problem; return 1 if there is one."""
    found = list(problems(Path(arguments[0] if arguments else "build/site")))
    print("\n".join(found) or "The site asks for nothing but itself.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
