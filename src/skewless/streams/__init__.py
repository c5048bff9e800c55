"""Streams: reading events and remembering how far; a kind of stream is one file."""
