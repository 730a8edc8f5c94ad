"""What every service of the local API shares: errors become statuses with details, and nothing else gets out."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

import grpc
import structlog

from prover_core.errors import ProverError

from .model import Failure
from .status import failure_of

P = ParamSpec("P")
M = TypeVar("M")
log = structlog.get_logger("edge.rpc")

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


async def abort(context: Any, made: Failure) -> NoReturn:
    """Ends the call with a status and its google.rpc details."""
    await context.abort(
        _CODES[int(made.code)], made.message, trailing_metadata=(("grpc-status-details-bin", made.status),)
    )
    raise AssertionError("abort returned")


def _failure(error: Exception, method: str) -> Failure:
    if not isinstance(error, ProverError):
        log.error("call broke", method=method, error=repr(error), exc_info=error)
    return failure_of(error)


def unary(method: Callable[[Any, Any, Any], Awaitable[M]]) -> Callable[[Any, Any, Any], Awaitable[M]]:
    """For methods with one answer, whether the request is one message or a stream."""

    @functools.wraps(method)
    async def guarded(self: Any, request: Any, context: Any) -> M:
        try:
            return await method(self, request, context)
        except Exception as e:
            made = _failure(e, method.__name__)
        return await abort(context, made)

    return guarded


def streaming(method: Callable[[Any, Any, Any], AsyncIterator[M]]) -> Callable[[Any, Any, Any], AsyncIterator[M]]:
    """For methods that answer with a stream."""

    @functools.wraps(method)
    async def guarded(self: Any, request: Any, context: Any) -> AsyncIterator[M]:
        try:
            async for message in method(self, request, context):
                yield message
        except Exception as e:
            await abort(context, _failure(e, method.__name__))

    return guarded
