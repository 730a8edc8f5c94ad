"""Whose assemblies are whose."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cloud.assembly import Assembly
from cloud.errors import WireError, reason_of
from cloud.model import Job
from cloud.rpc.assemblies import AssemblyRpc
from hybrid_prover.security import principal
from hybrid_prover.security.principal import Principal, Right
from hybrid_prover.v1 import assembly_pb2, common_pb2

READER = frozenset({Right.READ, Right.SUBMIT})
ALICE, MALLORY = (Principal(client=name, rights=READER) for name in ("alice", "mallory"))
EDGE = Principal(rights=READER, edge="spiffe://hybrid-prover/edge/one")
OPERATOR = Principal(client="ops", rights=frozenset({Right.OPERATE}))
ASSEMBLY = b"a" * 32


def job(name: bytes, client: str) -> Job:
    made = Job(name * 32, "", common_pb2.PLACEMENT_CLOUD, [], [], 0, client=client)
    made.edges.add(EDGE.edge)
    return made


class Book:
    """An aggregator as far as these questions go."""

    def __init__(self, *assemblies: Assembly, jobs: tuple[Job, ...] = ()) -> None:
        self.machine = SimpleNamespace(assemblies={a.assembly_id: a for a in assemblies})
        self._jobs = {j.job_id: j for j in jobs}
        self.assemblies: Any = self
        self.cancelled: list[bytes] = []

    async def job(self, job_id: bytes) -> Job | None:
        return self._jobs.get(job_id)

    async def get(self, assembly_id: bytes) -> Assembly | None:
        return self.machine.assemblies.get(assembly_id)  # type: ignore[no-any-return]

    async def cancel(self, assembly_id: bytes) -> Assembly | None:
        self.cancelled.append(assembly_id)
        return await self.get(assembly_id)


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    token = principal._current.set(Principal())
    yield
    principal._current.reset(token)


async def seen(book: Book, caller: Principal) -> bool:
    principal.serve_as(caller)
    try:
        await AssemblyRpc(book)._known(ASSEMBLY)  # type: ignore[arg-type]
    except WireError as e:
        if reason_of(e.status) != "ASSEMBLY_UNKNOWN":
            raise
        return False
    return True


@pytest.mark.parametrize("asked_by", ["", "alice", "ops"])
async def test_who_asked_first_takes_an_assembly_from_nobody(asked_by: str) -> None:
    """Its id is that of its jobs and options: an edge or an operator that asked first locked the jobs' client out."""
    hers, his = job(b"1", "alice"), job(b"2", "mallory")
    alone = Book(Assembly(ASSEMBLY, (hers.job_id,), None, client=asked_by), jobs=(hers, his))
    assert [await seen(alone, who) for who in (ALICE, MALLORY, EDGE, OPERATOR)] == [True, False, True, True]
    both = Book(Assembly(ASSEMBLY, (hers.job_id, his.job_id), None, client="ops"), jobs=(hers, his))
    assert [await seen(both, who) for who in (ALICE, MALLORY, EDGE, OPERATOR)] == [False, False, True, True]
    gone = Book(Assembly(ASSEMBLY, (hers.job_id,), None, client="ops"))
    assert not await seen(gone, ALICE)


async def test_who_did_not_ask_does_not_cancel() -> None:
    hers = job(b"1", "alice")
    book = Book(Assembly(ASSEMBLY, (hers.job_id,), None, client="alice"), jobs=(hers,))

    class Context:
        async def abort(self, _code: object, _text: str, trailers: Any) -> None:
            raise PermissionError(trailers)

    request = assembly_pb2.CancelAssemblyRequest(assembly_id=ASSEMBLY)
    principal.serve_as(EDGE)
    with pytest.raises(PermissionError) as caught:
        await AssemblyRpc(book).CancelAssembly(request, Context())  # type: ignore[arg-type]
    assert b"WANTED_BY_OTHERS" in caught.value.args[0][0][1]
    assert book.cancelled == []
    for who in (ALICE, OPERATOR):
        principal.serve_as(who)
        await AssemblyRpc(book).CancelAssembly(request, Context())  # type: ignore[arg-type]
    assert book.cancelled == [ASSEMBLY] * 2
