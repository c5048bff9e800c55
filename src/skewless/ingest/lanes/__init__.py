"""Streams that are their own log: states kept up without a journal, a lane at a time."""
