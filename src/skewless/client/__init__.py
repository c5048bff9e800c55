"""Calling a server over HTTP, from threads and from asyncio."""
