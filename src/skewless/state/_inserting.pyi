"""The C module; absent where no compiler was at hand. See `prepend`."""

def insert(
    states: list[object],
    groups: bytes,
    records: bytes,
    size: int,
    tails: list[list[bytes]],
    first: bytes,
    no_tiles: bytes,
    left: int,
    longest: int,
    skipped: bytearray,
    /,
) -> list[int]: ...
