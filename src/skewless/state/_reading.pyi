"""The C module; absent where no compiler was at hand. See `keys` and `newest_row`."""

from collections.abc import Mapping, Sequence
from typing import Any

from skewless.state.newest_row import Answers, Column
from skewless.state.status import Status

def encode_keys(
    entities: Sequence[Mapping[str, Any]], name: str, whole: bool, /
) -> list[bytes] | None: ...

class NewestRows:
    def __init__(
        self,
        start: bytes,
        tails: int,
        record: int,
        slots: int,
        left: int,
        columns: tuple[Column, ...],
        statuses: tuple[Status, Status, Status],
    ) -> None: ...
    def answers(
        self, states: Sequence[bytes | None], t: int, k: int, /
    ) -> list[Answers | None]: ...
    def found(
        self, states: Sequence[bytes | None], t: int, k: int, /
    ) -> tuple[list[list[Any]], list[list[Status]], list[list[int]]] | None: ...
