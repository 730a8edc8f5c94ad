"""Errors on their way out: google.rpc.Status in gRPC's trailers."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
import structlog
from google.rpc import status_pb2

from ..errors import INTERNAL, status_of

log = structlog.get_logger(__name__)

Response = TypeVar("Response")

_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def abort(context: grpc.aio.ServicerContext, status: status_pb2.Status) -> NoReturn:
    """Ends the call with a status and its details (`grpc-status-details-bin`, as grpc-status reads it)."""
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(_CODES.get(status.code, grpc.StatusCode.INTERNAL), status.message, trailers)
    raise AssertionError("abort raises")


def guarded(
    method: Callable[[Any, Any, grpc.aio.ServicerContext], Awaitable[Response]],
) -> Callable[[Any, Any, grpc.aio.ServicerContext], Awaitable[Response]]:
    """A handler whose errors leave as typed statuses; errors of no known kind are logged and keep their text here."""

    @functools.wraps(method)
    async def call(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Response:
        try:
            return await method(self, request, context)
        except Exception as e:
            if isinstance(e, grpc.aio.AbortError):
                raise
            status = status_of(e)
            if status.code == INTERNAL:
                log.error("call_failed", method=method.__name__, exc_info=e)
            await abort(context, status)

    return call
