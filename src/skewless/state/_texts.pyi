"""The C module; absent where no compiler was at hand. See `texts`."""

from typing import Any

def texts(state: bytes, at: int, lengths: Any, codes: Any, /) -> list[bytes] | None: ...
