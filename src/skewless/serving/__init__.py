"""Serving over HTTP: a thin shell around the verbs of `FeatureStore`: decode, call, encode.

`skewless.serving.app` is a bare ASGI application, `skewless.serving.server` runs it in one or more
processes (``skewless serve``), `skewless.client.client` talks to it (``skewless.Client``).
"""
