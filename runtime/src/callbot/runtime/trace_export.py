"""From finished stages to the OpenTelemetry SDK and its collector; imported only where traces are wanted."""

import logging
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from callbot.runtime.settings import ServiceSettings
from callbot.runtime.tracing import Finished, Place

SCOPE: Final = "callbot"
STOPPED_WITHIN_S: Final = 1.5
SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)
log = logging.getLogger(__name__)


class SaidOnce(SpanExporter):
    """Says once for each outage that spans are lost; the exporter itself would say it for every batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            log.warning("traces are lost: their collector is away, slow, or refuses them")
        elif self._failing and not failed:
            log.info("traces are taken again")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class ChosenIds(RandomIdGenerator):
    """A stage has its ids before its span is made: others stand below it by then."""

    def __init__(self) -> None:
        self.place: Place | None = None

    def generate_trace_id(self) -> int:
        return self.place.trace_id if self.place else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.place.span_id if self.place else super().generate_span_id()


class Exported:
    """A `tracing.Sink`. Whose calls are traced is decided before anything comes here: the SDK keeps all."""

    def __init__(self, settings: ServiceSettings, service: str) -> None:
        self.share = settings.traces_sample
        self.show_pii = settings.log_pii
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        # The rest of OTEL_EXPORTER_OTLP_* and OTEL_BSP_* they read themselves.
        self._processor = BatchSpanProcessor(SaidOnce(OTLPSpanExporter(endpoint=settings.traces_url)))
        self._ids = ChosenIds()
        told = {"service.name": service, "service.namespace": SCOPE}
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({**told, "service.instance.id": settings.worker_id}),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer(SCOPE)

    def emit(self, span: Finished) -> None:
        parent = span.parent
        above = Context() if parent is None else trace.set_span_in_context(_remote(parent), Context())
        links = () if span.link is None else (trace.Link(_context(span.link)),)
        kind = trace.SpanKind.CONSUMER if span.kind == "consumer" else trace.SpanKind.INTERNAL
        self._ids.place = span.place
        try:
            made = self._tracer.start_span(
                span.name,
                above,
                kind,
                attributes=dict(span.attributes),
                links=links,
                start_time=span.start_ns,
                record_exception=False,
            )
        finally:
            self._ids.place = None
        if span.failed:
            made.set_status(trace.StatusCode.ERROR)
        made.end(span.end_ns)

    def close(self) -> None:
        """Posts what waits, for a second and a half at most: a collector may be away or slow."""
        posting = threading.Thread(target=self._processor.shutdown, name="last traces", daemon=True)
        posting.start()
        posting.join(STOPPED_WITHIN_S)


def _context(place: Place) -> trace.SpanContext:
    return trace.SpanContext(place.trace_id, place.span_id, is_remote=True, trace_flags=SAMPLED)


def _remote(place: Place) -> trace.Span:
    return trace.NonRecordingSpan(_context(place))
