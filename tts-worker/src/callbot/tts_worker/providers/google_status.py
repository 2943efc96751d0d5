"""The status of a call to Google as a ProviderError. What the vendor says in words is not kept.

https://cloud.google.com/apis/design/errors
"""

from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import MAX_RETRY_AFTER_S, vendor_code

T = TypeVar("T")
_DETAILS: Final = "grpc-status-details-bin"
_OUT_OF_QUOTA: Final = ("RESOURCE_QUOTA_EXCEEDED", "BILLING_DISABLED")
"""google/api/error_reason.proto."""
_MEANING: Final = {
    grpc.StatusCode.UNAUTHENTICATED: ("refused", False),
    grpc.StatusCode.PERMISSION_DENIED: ("refused", False),
    grpc.StatusCode.INVALID_ARGUMENT: ("bad_request", False),
    grpc.StatusCode.FAILED_PRECONDITION: ("bad_request", False),
    grpc.StatusCode.OUT_OF_RANGE: ("bad_request", False),
    grpc.StatusCode.UNIMPLEMENTED: ("bad_request", False),
    grpc.StatusCode.NOT_FOUND: ("unknown_voice", False),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("busy", True),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("too_slow", True),
}


class Ending:
    """How the vendor has ended a call.

    grpc.aio puts an INTERNAL of its own in that one's place where a message was just being written (seen with
    1.85: once in 200 calls that are refused at once), so it is noted at the moment when it comes.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def status(self) -> grpc.aio.AioRpcError:
        """Waits for the end."""
        if self._first is None:
            return _rpc_error(await self._call.code(), await self._call.trailing_metadata())
        return self._first

    def _note(self, call: Any) -> None:
        if self._first is None:
            self._first = _rpc_error(_now(call.code()), _now(call.trailing_metadata()))


def _rpc_error(code: grpc.StatusCode, trailing: Any) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing or grpc.aio.Metadata(), "", None)


def _now(known: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as e:
        value: T = e.value
        return value
    known.close()
    raise AssertionError("a call that is done knows its end")


def refusal(error: grpc.aio.AioRpcError) -> ProviderError:
    code, retryable = _MEANING.get(error.code(), ("unavailable", True))
    reason, limit, retry_after_s = _details(error)
    if reason in _OUT_OF_QUOTA or (code == "busy" and "PerDay" in limit):
        code, retryable = "out_of_quota", False
    told = f"{error.code().name} {vendor_code(reason.lower())}".strip()
    return ProviderError(
        code, told, retryable=retryable, retry_after_s=retry_after_s if code == "busy" else None
    )


def _details(error: grpc.aio.AioRpcError) -> tuple[str, str, float | None]:
    """ErrorInfo's reason and its `quota_limit`, RetryInfo's delay; empty where they are not told."""
    reason, limit, retry_after_s = "", "", None
    for details in _status(error).details:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if details.Is(info.DESCRIPTOR) and details.Unpack(info):
            reason, limit = info.reason, info.metadata.get("quota_limit", "")
        elif details.Is(retry.DESCRIPTOR) and details.Unpack(retry):
            retry_after_s = min(retry.retry_delay.ToTimedelta().total_seconds(), MAX_RETRY_AFTER_S)
    return reason, limit, retry_after_s


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    status = status_pb2.Status()
    # The stubs of grpc take a pair for something that cannot be taken apart.
    trailing: Any = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == _DETAILS and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status
