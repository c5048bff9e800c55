"""Chains of operations: expressions whose first operand is an expression, and so on.

They are walked and written link by link, never by recursion, for they may be thousands long.
"""

from __future__ import annotations

from typing import Any

LONG_CHAIN = 32
"""Links beyond which a chain is written as a list and computed in a loop."""


def chain_of(expression: Any) -> tuple[Any, list[Any]]:
    """Return where a chain of first operands starts, and its links from there to the whole.

    >>> from skewless.definitions.source import Source
    >>> a = Source("s", schema={"a": int}, event_time="at").a
    >>> chain_of(a + 1 - a)[0], len(chain_of(a + 1 - a)[1])
    (s.a, 2)
    """
    links = []
    while expression.children:
        links.append(expression)
        expression = expression.children[0]
    return expression, links[::-1]


def _link_to_dict(link: Any) -> dict[str, Any]:
    """Return a link of a chain as plain data, with its operands but the first."""
    return {**link.as_link(), "of": [child.to_dict() for child in link.children[1:]]}


def chain_to_dict(expression: Any) -> dict[str, Any]:
    """Return operations as plain data; of a long chain where it starts, and its links."""
    start, links = chain_of(expression)
    data: dict[str, Any] = start.to_dict()
    if len(links) > LONG_CHAIN:
        return {"chain": data, "links": [_link_to_dict(link) for link in links]}
    for link in links:
        own = _link_to_dict(link)
        data = own | {"of": [data, *own["of"]]}
    return data


def text_of(expression: Any) -> str:
    """Return operations as people write them."""
    start, links = chain_of(expression)
    text = repr(start)
    for link in links:
        text = link.written([text, *(child.as_operand() for child in link.children[1:])])
    return text
