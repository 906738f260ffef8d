"""Spans to an OpenTelemetry collector, over OTLP; the only module that imports OpenTelemetry.

Address, headers, time limits, sampler and sizes of batches are those of OpenTelemetry's environment variables, which
its SDK reads by itself. No trace begins here: a span is begun for what says which trace it belongs to.
"""

import os
import socket
import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, set_span_in_context

from infra import VERSION
from schemas import trace

_LAST_S = 3.0
"""So long what was not told yet may take when a role ends."""
_KINDS = {"consumer": SpanKind.CONSUMER, "producer": SpanKind.PRODUCER, "server": SpanKind.SERVER}


class OtlpTracer:
    """A `schemas.trace.Tracer`; make one for each process.

    Args:
        role: Name of the role, which tells spans of one service apart.
    """

    def __init__(self, role: str) -> None:
        self._exporter = OTLPSpanExporter()
        self._provider = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("twinstream", VERSION)

    def begin(
        self,
        name: str,
        kind: trace.SpanKind,
        parent: bytes,
        attributes: Mapping[str, str | int],
        began_ns: int | None = None,
    ) -> "OtlpSpan | None":
        """Begin a span, unless the sampler does not want it."""
        _, trace_id, span_id, flags = parent.decode().split("-")
        cause = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
        span = self._tracer.start_span(
            name,
            set_span_in_context(NonRecordingSpan(cause)),
            _KINDS[kind],
            _told(attributes),
            start_time=began_ns,
        )
        return OtlpSpan(span) if span.get_span_context().trace_flags.sampled else None

    def close(self) -> None:
        """Tell what was not told yet; a collector that is away is given up."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST_S)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


class OtlpSpan:
    """A `schemas.trace.Span`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)

    def add(self, attributes: Mapping[str, str | int]) -> None:
        """Add what is known by now."""
        self._span.set_attributes(_told(attributes))

    def end(self) -> None:
        """It is done."""
        self._span.end()


def _told(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {name: value for name, value in attributes.items() if value != ""}


def _resource(role: str) -> Resource:
    """Who tells: what the environment says, and the role."""
    told = {SERVICE_VERSION: VERSION, SERVICE_INSTANCE_ID: f"{socket.gethostname()}:{os.getpid()}:{role}"}
    told |= {"twinstream.role": role}
    found = Resource.create(told)
    # The SDK has a name of its own for what has none.
    is_named = not str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    return found if is_named else found.merge(Resource({SERVICE_NAME: "twinstream"}))
