"""A collector of OTLP/HTTP with good and bad days, which refuses what the specification does not allow.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-request and the comments of `trace.proto`.
"""

import asyncio
from typing import Literal

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from callbot.studio.trace.collector import Collector

Day = Literal["good", "500", "hangs", "away"]
TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8


class OtlpCollector(Collector):
    def __init__(self, day: Day = "good") -> None:
        super().__init__()
        self.day = day
        self.posts = 0
        self.faults: list[str] = []
        """What the specification does not allow."""

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.posts += 1
        if self.day == "hangs":
            await asyncio.sleep(3600)
        if self.day == "500":
            raise web.HTTPInternalServerError
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            names = {attribute.key for attribute in resource.resource.attributes}
            if not {"service.name", "service.instance.id", "telemetry.sdk.language"} <= names:
                self.faults.append(f"the resource has only {sorted(names)}")
            for scope in resource.scope_spans:
                self.faults += [fault for span in scope.spans for fault in _faults_of(span)]
        return await super()._take(request)


def _faults_of(span: Span) -> list[str]:
    checks = {
        "a trace id of 16 bytes, not all zero": len(span.trace_id) == TRACE_ID_BYTES and any(span.trace_id),
        "a span id of 8 bytes, not all zero": len(span.span_id) == SPAN_ID_BYTES and any(span.span_id),
        "a parent's id of 8 bytes or none": len(span.parent_span_id) in (0, SPAN_ID_BYTES),
        "a name": bool(span.name),
        "a kind": span.kind != Span.SPAN_KIND_UNSPECIFIED,
        "an end that is not before its beginning": 0 < span.start_time_unix_nano <= span.end_time_unix_nano,
        "every attribute once": len({a.key for a in span.attributes}) == len(span.attributes),
        "links to a trace and a span": all(
            len(link.trace_id) == TRACE_ID_BYTES and len(link.span_id) == SPAN_ID_BYTES for link in span.links
        ),
    }
    return [f"{span.name or 'a span'} needs {what}" for what, good in checks.items() if not good]
