"""A page: plain data, and a template that shows it; ``?format=json`` gives the data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Page:
    """What a page function returns.

    Attributes:
        template: the name of its template.
        title: of the page, for people.
        data: what it says, as plain data: the whole answer in JSON.
        shown: what only the template needs: pictures and objects of which pictures are made.
        section: which entry of the navigation it belongs to.
        status: of the HTTP answer.
    """

    template: str
    title: str
    data: Mapping[str, Any]
    shown: Mapping[str, Any] = field(default_factory=dict)
    section: str = ""
    status: int = 200
