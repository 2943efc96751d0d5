"""A collector for one program: takes what is posted to it by OTLP/HTTP, as protobuf, and keeps it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

PROTOBUF = "application/x-protobuf"
LARGEST_BYTES = 8 * 1024 * 1024
Fact = str | bool | int | float


@dataclass(frozen=True)
class Span:
    """Ids as hex digits; times in nanoseconds since 1970."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: a root."""
    start_ns: int
    end_ns: int
    consumer: bool
    """It may begin after its parent is over."""
    failed: bool
    facts: Mapping[str, Fact]
    links: tuple[str, ...]
    """The traces that it has links to."""

    @property
    def ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


class Collector:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._news = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BYTES)
        app.router.add_post("/v1/traces", self._take)
        return app

    async def turn(self, turn_id: str, names: Iterable[str]) -> list[Span]:
        """The spans of a turn in the order of their beginnings, once all these names are there."""
        wanted = set(names)
        while True:
            found = [span for span in self.spans if span.facts.get("callbot.turn_id") == turn_id]
            if wanted <= {span.name for span in found}:
                return sorted(found, key=lambda span: (span.start_ns, -span.end_ns))
            self._news.clear()
            await self._news.wait()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != PROTOBUF:
            raise web.HTTPUnsupportedMediaType
        self.spans += spans_of(ExportTraceServiceRequest.FromString(await request.read()))
        self._news.set()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type=PROTOBUF)


def spans_of(told: ExportTraceServiceRequest) -> list[Span]:
    found = []
    for resource in told.resource_spans:
        service = str(_facts(resource.resource.attributes).get("service.name", ""))
        found += [_span(service, span) for scope in resource.scope_spans for span in scope.spans]
    return found


def _span(service: str, span: trace_pb2.Span) -> Span:
    return Span(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        consumer=span.kind == trace_pb2.Span.SPAN_KIND_CONSUMER,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        facts=_facts(span.attributes),
        links=tuple(link.trace_id.hex() for link in span.links),
    )


def _facts(attributes: Iterable[KeyValue]) -> dict[str, Fact]:
    return {attribute.key: _fact(attribute.value) for attribute in attributes}


def _fact(value: AnyValue) -> Fact:
    kind = value.WhichOneof("value")
    found: Fact = getattr(value, kind) if kind else ""
    return found


@asynccontextmanager
async def serving(collector: Collector) -> AsyncIterator[str]:
    """Yields what OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
    runner = web.AppRunner(collector.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
