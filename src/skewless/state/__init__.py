"""The packed state of one entity and source, pure: layout, rows, tiles, values at a moment."""
