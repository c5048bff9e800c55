"""The C module; absent where no compiler was at hand. See `store`."""

from collections.abc import Callable, Sequence
from typing import Any

def read_rows(
    begin: Callable[[], Any],
    header_key: bytes,
    header: bytes | None,
    table: bytes,
    keys: Sequence[bytes],
    longest: int,
    each: Callable[[int, bytes], Any] | None,
    /,
) -> list[Any] | None: ...
