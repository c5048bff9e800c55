"""The stream worker: reads events, pushes them and remembers the position."""
