"""The certificate of a server, which may be renewed while it runs."""

from __future__ import annotations

import os
import ssl

from skewless.errors import ConfigError
from skewless.serving.operate.logs import event
from skewless.serving.settings import Settings

_Stamp = tuple[int, int, int]


def context_of(settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS needs, or None without TLS; `ConfigError` if the files are wrong."""
    if settings.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigError(
            "the TLS certificate or its key cannot be used",
            got=str(problem), where=settings.certificate,
        ) from None  # fmt: skip
    return context


class Certificate:
    """The certificate that new connections get: that of the files, as soon as both fit.

    Args:
        settings: which files.
        context: made of them; every handshake begins with it and goes on with the newest one.
    """

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._newest = context
        self._seen = self._stamps()
        self._refused = ""
        context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
        del name, first
        connection.context = self._newest

    def look(self) -> None:
        """Take the files if they have changed; what does not fit is logged, and looked at again."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            found = context_of(self._settings)
        except ConfigError as problem:
            if str(problem) != self._refused:
                event("certificate refused", reason=str(problem))
            self._refused = str(problem)
            return
        if found is not None:
            self._newest, self._seen, self._refused = found, stamps, ""
            event("certificate renewed", file=self._settings.certificate)

    def _stamps(self) -> list[_Stamp | None]:
        return [_stamp(file) for file in (self._settings.certificate, self._settings.private_key)]


def _stamp(file: str | None) -> _Stamp | None:
    try:
        found = os.stat(file or "")
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
