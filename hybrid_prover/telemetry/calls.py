"""Counts the calls of a daemon's gRPC services, refused ones included: the outermost interceptor."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from .metrics import DaemonMetrics

_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class CallMeter(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Calls by method and code; how long those took that have one answer. Methods that do not exist are not counted."""

    def __init__(self, metrics: DaemonMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The method's handler, measured; of the same kind and style."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        kind, make = _KINDS[handler.request_streaming, handler.response_streaming]
        behavior = getattr(handler, kind)
        method = handler_call_details.method.removeprefix("/hybrid_prover.v1.").removeprefix("/")
        measured = functools.partial(self._measured, method, timed=not handler.response_streaming)
        wrap = _stream if inspect.isasyncgenfunction(behavior) else _call
        return make(
            wrap(measured, behavior),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    @contextlib.contextmanager
    def _measured(self, method: str, context: Any, *, timed: bool) -> Iterator[None]:
        begun, code = time.perf_counter(), "OK"
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except BaseException:
            code = _code_of(context)
            raise
        finally:
            self._metrics.calls.labels(method, code).inc()
            if timed:
                self._metrics.call_seconds.labels(method).observe(time.perf_counter() - begun)


_Measured = Callable[[Any], contextlib.AbstractContextManager[None]]


def _call(measured: _Measured, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(behavior)
    async def metered(request: Any, context: Any) -> Any:
        with measured(context):
            return await behavior(request, context)

    return metered


def _stream(measured: _Measured, behavior: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(behavior)
    async def metered(request: Any, context: Any) -> AsyncIterator[Any]:
        with measured(context):
            async with contextlib.aclosing(behavior(request, context)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer

    return metered


def _code_of(context: Any) -> str:
    """What `abort` was told; UNKNOWN for an error that nobody made a status of, as gRPC itself answers."""
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _NAMES.get(number, "UNKNOWN") if number else "UNKNOWN"
