"""The C module; absent where no compiler was at hand. See `window_eval`."""

from typing import Any

from skewless.state.status import Status

class WindowRows:
    def __init__(
        self,
        start: bytes,
        tails: int,
        record: int,
        slots: int,
        left: int,
        groups: tuple[tuple[Any, ...], ...],
        empty: list[Any],
        statuses: tuple[Status, Status, Status],
    ) -> None: ...
    def answer(
        self, state: bytes, t: int, k: int, /
    ) -> tuple[list[Any], list[Status], int] | None: ...
