"""What Google says when it does not want to, as our one error (https://cloud.google.com/apis/design/errors).

Its texts may repeat what it was sent: only the status and reasons that look like a code are taken over.
"""

from collections.abc import Coroutine, Iterator
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import vendor_code
from callbot.stt_worker.providers.google_wire import ADAPTATION, WORD_TIMES

_DETAILS: Final = "grpc-status-details-bin"
LIMITS: Final = frozenset({grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.ABORTED})
"""Google's way to end a stream that was too long or too idle: another one goes on."""
_REFUSED: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_OUR_FAULT: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_UNPAID: Final = ("billing", "quota_exhausted", "account_state_invalid")
_OF_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


class StreamError(ProviderError):
    """Also which status it was, and which features of the request the model does not take."""

    status: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    refused_features: frozenset[str] = frozenset()


class Ending:
    """How a call ended, as the server said it.

    Where a write fails afterwards grpc.aio forgets it and says INTERNAL (github.com/grpc/grpc/issues/36066);
    measured: nine times of ten for a client that goes on writing.
    """

    def __init__(self, call: Any) -> None:
        self._code: grpc.StatusCode | None = None
        self._metadata: Any = None
        call.add_done_callback(self._keep)

    def error(self, told: grpc.aio.AioRpcError) -> StreamError:
        """`told`: what the reader was told."""
        if self._code in (None, grpc.StatusCode.OK):
            return _error(told.code(), list(_details(told.trailing_metadata())))
        return _error(self._code, list(_details(self._metadata)))

    def _keep(self, call: Any) -> None:
        if self._code is None:
            self._code, self._metadata = _at_once(call.code()), _at_once(call.trailing_metadata())


def _at_once(known: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for; None: it would wait."""
    try:
        known.send(None)
    except StopIteration as e:
        return e.value
    known.close()
    return None


def of_number(code: int) -> StreamError:
    """An error within a response (v1)."""
    return _error(_OF_NUMBER.get(code, grpc.StatusCode.UNKNOWN), [])


def of_silence(why: str) -> StreamError:
    """It has ended, or goes on, without a status that says why."""
    told = StreamError("broken_off", why, retryable=True)
    told.status = grpc.StatusCode.ABORTED
    return told


def malformed() -> StreamError:
    return StreamError("malformed", "a response that the protocol does not have", retryable=True)


def too_slow(why: str) -> StreamError:
    return StreamError("too_slow", why, retryable=True)


def as_stream_error(e: ProviderError) -> StreamError:
    if isinstance(e, StreamError):
        return e
    return StreamError(e.code, e.message, retryable=e.retryable, retry_after_s=e.retry_after_s)


def again(e: ProviderError) -> ProviderError:
    """The same, to be raised anew: a traceback grows with every raise."""
    return ProviderError(e.code, e.message, retryable=e.retryable, retry_after_s=e.retry_after_s)


def _error(status: grpc.StatusCode, details: list[Message]) -> StreamError:
    reason = next((d.reason for d in details if isinstance(d, error_details_pb2.ErrorInfo)), "").lower()
    message = f"{status.name} {vendor_code(reason)}".strip()
    retry_s = next(
        (
            d.retry_delay.ToTimedelta().total_seconds()
            for d in details
            if isinstance(d, error_details_pb2.RetryInfo)
        ),
        None,
    )
    if any(word in reason for word in _UNPAID):
        told = StreamError("out_of_quota", message, retryable=False)
    elif status in _REFUSED:
        told = StreamError("refused", message, retryable=False)
    elif status in _OUR_FAULT:
        told = StreamError("bad_request", message, retryable=False)
        told.refused_features = _refused_features(details)
    elif status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        told = StreamError("busy", message, retryable=True, retry_after_s=retry_s)
    elif status in LIMITS or status is grpc.StatusCode.UNAVAILABLE:
        told = StreamError("broken_off", message, retryable=True)
    else:
        told = StreamError("unavailable", message, retryable=True, retry_after_s=retry_s)
    told.status = status
    return told


def _refused_features(details: list[Message]) -> frozenset[str]:
    fields = [
        violation.field
        for detail in details
        if isinstance(detail, error_details_pb2.BadRequest)
        for violation in detail.field_violations
    ]
    # v1's adaptation is called speech_contexts.
    names = {ADAPTATION: ADAPTATION, "speech_contexts": ADAPTATION, WORD_TIMES: WORD_TIMES}
    return frozenset(feature for name, feature in names.items() if any(name in field for field in fields))


def _details(metadata: Any) -> Iterator[Message]:
    """https://cloud.google.com/apis/design/errors#error_details, as google.rpc.Status in the trailers."""
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.BadRequest)
    for key, value in metadata or ():
        if key != _DETAILS:
            continue
        try:
            for packed in status_pb2.Status.FromString(value).details:
                for kind in kinds:
                    if packed.Is(kind.DESCRIPTOR):
                        unpacked = kind()
                        packed.Unpack(unpacked)
                        yield unpacked
        except DecodeError:
            return
