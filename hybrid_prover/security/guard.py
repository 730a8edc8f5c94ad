"""The interceptor that stands before every service: who calls, what that takes, and a typed refusal otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from .identity import Role, peer_identity
from .principal import LOCAL, Principal, Right, serve_as
from .revocation import Revocations
from .rights import wanted
from .tokens import TokenBook, TokenRefused

log = structlog.get_logger(__name__)

DOMAIN = "hybrid-prover"
STRANGERS = 64
"""Streams of callers of whom nothing is known (health's Watch) that are open at once."""
LINES_A_SECOND = 20
"""Refused calls that are logged one by one; those beyond are counted."""
_BY_CERTIFICATE: Mapping[Role, frozenset[Right]] = {
    Role.EDGE: frozenset({Right.EDGE, Right.READ, Right.SUBMIT}),
    Role.WORKER: frozenset({Right.WORK, Right.READ}),
}
"""What a certificate alone gives: an edge the uplink, circuits and its own jobs; a worker leases and keys."""

_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Denied(Exception):
    """A call that is not served; carries its status."""

    def __init__(self, code: grpc.StatusCode, message: str, reason: str, right: Right | None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.status = status_pb2.Status(code=code.value[0], message=message)
        info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata={"right": right} if right else {})
        self.status.details.add().Pack(info)


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Authenticates and authorizes every call; `principal.current()` is the caller from then on.

    With `tokens` None and `open` the server trusts whoever can connect (plain text on loopback): the caller is LOCAL.
    A stream ends with what it was opened with: its token or certificate is looked at every `recheck` seconds.
    """

    def __init__(
        self,
        tokens: TokenBook | None,
        *,
        revocations: Revocations | None = None,
        open: bool = False,
        clock: Callable[[], float] = time.time,
        recheck: float = 5.0,
    ) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._recheck = recheck
        self._open = open and tokens is None
        self._clock = clock
        self._trouble = ""
        self._strangers = 0
        self._second, self._told, self._untold = 0, 0, 0

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The method's handler, guarded; the same kind of handler, whichever of gRPC's two styles it is written in."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        kind, make = _KINDS[handler.request_streaming, handler.response_streaming]
        behavior = getattr(handler, kind)
        if not handler.request_streaming:
            behavior = _reading(behavior)
            _, make = _KINDS[True, handler.response_streaming]
        guarded: Callable[..., Any]
        if inspect.isasyncgenfunction(behavior):
            guarded = self._stream(method, behavior)
        elif handler.response_streaming or handler.request_streaming:
            guarded = self._call(method, self._watched(method, behavior))
        else:
            guarded = self._call(method, behavior)
        return make(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _call(self, method: str, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(behavior)
        async def guarded(request: Any, context: Any) -> Any:
            try:
                self.admit(method, context.invocation_metadata(), context.auth_context())
            except Denied as e:
                await self._refuse(method, context, e)
            return await behavior(request, context)

        return guarded

    def _watched(self, method: str, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """A stream, up or down, that is no generator: it ends when its caller may not call it any more."""

        @functools.wraps(behavior)
        async def watched(request: Any, context: Any) -> Any:
            stranger = wanted(method) is None
            if stranger and self._strangers >= STRANGERS:
                text = f"{self._strangers} streams without a token are open already"
                await self._refuse(
                    method, context, Denied(grpc.StatusCode.RESOURCE_EXHAUSTED, text, "TOO_MANY_STREAMS", None)
                )
            self._strangers += stranger
            work = asyncio.ensure_future(behavior(request, context))
            try:
                while not (await asyncio.wait({work}, timeout=self._recheck))[0]:
                    self.authorize(method, context.invocation_metadata(), context.auth_context())
            except Denied as e:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await self._refuse(method, context, e)
            finally:
                self._strangers -= stranger
                work.cancel()
            return work.result()

        return watched

    def _stream(self, method: str, behavior: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        @functools.wraps(behavior)
        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            caller = (method, context.invocation_metadata(), context.auth_context())
            try:
                self.admit(*caller)
                async with contextlib.aclosing(behavior(request, context)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        self.authorize(*caller)
                        yield answer
            except Denied as e:
                await self._refuse(method, context, e)

        return guarded

    async def _refuse(self, method: str, context: Any, denied: Denied) -> NoReturn:
        self._tell(method, denied, context.peer())
        trailers = (("grpc-status-details-bin", denied.status.SerializeToString()),)
        await context.abort(denied.code, str(denied), trailers)
        raise AssertionError("abort raises")

    def _tell(self, method: str, denied: Denied, peer: str) -> None:
        """One line for a refusal, but not for every one of a flood: strangers must not fill the disk with them."""
        second = int(time.monotonic())
        if second != self._second:
            if self._untold:
                log.warning("calls_refused", calls=self._untold)
            self._second, self._told, self._untold = second, 0, 0
        if self._told < LINES_A_SECOND:
            self._told += 1
            log.warning("call_refused", method=method, reason=denied.reason, error=str(denied), peer=peer)
        else:
            self._untold += 1

    def admit(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None, peer: Mapping[str, Iterable[bytes]]
    ) -> None:
        """Makes the caller the current principal, or raises `Denied`."""
        serve_as(self.authorize(method, metadata, peer))

    def authorize(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None, peer: Mapping[str, Iterable[bytes]]
    ) -> Principal:
        """The caller of a method, from its metadata and its certificate; `Denied` if it may not call it."""
        right = wanted(method)
        if right is None:
            return Principal()
        principal = self._identify(right, metadata, peer)
        if not principal.may(right):
            who = principal.client or principal.edge or principal.worker
            text = f"{who} lacks the right to {method.rsplit('/', 1)[-1]}: {_needed(right)}"
            raise Denied(grpc.StatusCode.PERMISSION_DENIED, text, "RIGHT_MISSING", right)
        return principal

    def _identify(
        self, right: Right, metadata: Iterable[tuple[str, str | bytes]] | None, peer: Mapping[str, Iterable[bytes]]
    ) -> Principal:
        if self._open:
            return LOCAL
        role, name = peer_identity(peer) or (Role.CLIENT, "")
        if name and self._revocations is not None:
            pem = b"".join(peer.get("x509_pem_cert", ()))
            if reason := self._revocations.refusal(name, pem, self._clock()):
                text = f"the certificate of {name} was revoked, has expired or has that name otherwise than as a URI"
                raise Denied(grpc.StatusCode.UNAUTHENTICATED, text, reason, right)
        rights = _BY_CERTIFICATE.get(role, frozenset())
        edge, worker = (name if role is wanted else "" for wanted in (Role.EDGE, Role.WORKER))
        given = [value for key, value in metadata or () if key == "authorization"]
        if not given and rights:
            return Principal(rights=rights, edge=edge, worker=worker)
        try:
            if not given:
                raise TokenRefused(f"no token was sent: {_needed(right)}", "TOKEN_MISSING")
            client = self._client(given)
        except TokenRefused as e:
            raise Denied(grpc.StatusCode.UNAUTHENTICATED, str(e), e.reason, right) from None
        return Principal(client=client.client, rights=client.rights | rights, edge=edge, worker=worker)

    def _client(self, given: list[str | bytes]) -> Principal:
        scheme, _, token = given[0].partition(" ") if isinstance(given[0], str) else ("", "", "")
        if len(given) > 1 or scheme.lower() != "bearer":
            raise TokenRefused("authorization is not `Bearer TOKEN`", "TOKEN_MALFORMED")
        if self._tokens is None:
            raise TokenRefused("this server knows no tokens: its operator sets --tokens", "TOKEN_UNKNOWN")
        record = self._tokens.check(token.strip(), self._clock())
        if self._tokens.trouble != self._trouble:
            self._trouble = self._tokens.trouble
            if self._trouble:
                log.error("token_file_not_taken", error=self._trouble)
        return record.principal


def _reading(behavior: Callable[..., Any]) -> Callable[..., Any]:
    """A method with one request as one with a stream of them: gRPC reads and parses a single request, which may have
    many megabytes, before anybody is asked who sends it."""

    async def first(context: Any) -> Any:
        try:
            request = await context.read()
        except DecodeError:
            request = grpc.aio.EOF
        if request is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no request, or one that is no message")
        return request

    if inspect.isasyncgenfunction(behavior):

        @functools.wraps(behavior)
        async def stream(_requests: Any, context: Any) -> AsyncIterator[Any]:
            async with contextlib.aclosing(behavior(await first(context), context)) as answers:
                async for answer in answers:
                    yield answer

        return stream

    @functools.wraps(behavior)
    async def call(_requests: Any, context: Any) -> Any:
        return await behavior(await first(context), context)

    return call


def _needed(right: Right) -> str:
    if right in (Right.EDGE, Right.WORK):
        role = "edge" if right is Right.EDGE else "worker"
        return f"it is for {role}s, which show a certificate made with `hybrid-prover certs issue {role}`"
    return f"it wants a token with the right `{right}` (HYBRID_PROVER_TOKEN_FILE or --token-file names its file)"
