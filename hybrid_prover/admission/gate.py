"""The interceptor that bounds how many calls a daemon serves at once; further ones are told to come back."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import grpc
import grpc.aio

from .quotas import SECOND, Exceeded
from .refusals import refusal

BACKSTOP: Final = 2
"""gRPC itself, which gives no reason, refuses calls beyond so many times the limit."""
_OPEN: Final = "/grpc.health.v1.Health/"
_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """At most `calls` at once, streams included; health checks are always served."""

    def __init__(self, calls: int, on_refused: Callable[[str], None] = lambda _reason: None) -> None:
        self._most = calls
        self._open = 0
        self._on_refused = on_refused

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The method's handler, counted; of the same kind and style."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN):
            return handler
        kind, make = _KINDS[handler.request_streaming, handler.response_streaming]
        behavior = getattr(handler, kind)
        wrap = self._stream if inspect.isasyncgenfunction(behavior) else self._call
        return make(
            wrap(behavior),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _check(self, context: Any) -> None:
        if self._open >= self._most:
            over = Exceeded("calls", "", self._open, 0, self._most, SECOND)
            self._on_refused(over.reason)
            trailers = (("grpc-status-details-bin", refusal(over).SerializeToString()),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, over.message, trailers)

    def _call(self, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(behavior)
        async def gated(request: Any, context: Any) -> Any:
            await self._check(context)
            with self._counted():
                return await behavior(request, context)

        return gated

    def _stream(self, behavior: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        @functools.wraps(behavior)
        async def gated(request: Any, context: Any) -> AsyncIterator[Any]:
            await self._check(context)
            with self._counted():
                async with contextlib.aclosing(behavior(request, context)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield answer

        return gated
