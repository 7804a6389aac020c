"""Octets that are no message of the method: gRPC's library calls them UNKNOWN, but the client is at fault.

Streams meet them in `Incoming`; here the methods that take one message are wrapped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from engines.riva.wire import DecodeError, Message, Status, grpc

TOLD = "the request is no message of this service"

_GARBLED = object()


class GarbledRefused(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # untyped there
    """Answers INVALID_ARGUMENT before the method is asked."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler
        answer = handler.unary_unary

        async def guarded(request: Message, context: Any) -> Message | None:
            if request is _GARBLED:
                await context.abort(Status.INVALID_ARGUMENT, TOLD)
            return await answer(request, context)

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


def _lenient(read: Callable[[bytes], Message] | None) -> Callable[[bytes], Message] | None:
    if read is None:
        return None

    def lenient(octets: bytes) -> Message:
        try:
            return read(octets)
        except DecodeError:
            return _GARBLED

    return lenient
