"""OpenTelemetry traces of requests (``skewless serve --traces``, ``skewless[traces]``).

One span for each request, named after its method and path, within the trace of the caller
(``traceparent``). Where spans go is set by OpenTelemetry's own variables, such as
``OTEL_EXPORTER_OTLP_ENDPOINT``, and by running under ``opentelemetry-instrument``.
"""

from __future__ import annotations

from typing import Any

from skewless.errors import MissingDependency
from skewless.serving.http.http import Receive, Scope, Send


def traced(app: Any) -> Any:
    """Return an application that makes a span for each request.

    Raises:
        MissingDependency: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import propagate, trace
    except ImportError:
        raise MissingDependency.of("opentelemetry-api", "traces", needed_for="--traces") from None
    tracer = trace.get_tracer("skewless.serving")

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        carrier = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        with tracer.start_as_current_span(
            f"{scope['method']} {scope['path']}",
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": scope["path"]},
        ) as span:

            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(trace.StatusCode.ERROR)
                await send(message)

            await app(scope, receive, noting)

    return call
