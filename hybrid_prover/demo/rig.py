"""One cloud and some edges as processes on loopback, every circuit registered with each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hybrid_prover.client import ProverClient
from prover_core.types import Digest

from .circuits import DemoCircuit
from .processes import Fleet, free_port


@dataclass(frozen=True, slots=True)
class Rig:
    """Clients of the edges, and what the circuits are called by all."""

    edges: list[ProverClient]
    digests: dict[str, Digest]

    @classmethod
    async def start(
        cls,
        fleet: Fleet,
        stack: AsyncExitStack,
        circuits: Mapping[str, DemoCircuit],
        scratch: Path,
        *,
        name: str = "",
        edges: int,
        cloud: Sequence[str] = (),
        edge: Sequence[str] = (),
    ) -> Self:
        """Starts the processes with further arguments; `DaemonError` names the one that does not serve."""
        port = free_port()
        target = f"127.0.0.1:{port}"
        folder, logs = scratch / f"{name}cloud", scratch / "logs"
        arguments = ["cloud", "--port", str(port), "--data-dir", str(folder), *cloud]
        await fleet.add(f"the {name}cloud".replace("-", " "), arguments, target, logs / f"{name}cloud.log")
        clients = [await stack.enter_async_context(ProverClient(target))]
        for number in range(1, edges + 1):
            called, listen = f"{name}edge-{number}", f"127.0.0.1:{free_port()}"
            arguments = ["edge", "--listen", listen, "--cloud", target, "--state-dir", str(scratch / called)]
            await fleet.add(called, [*arguments, "--name", called, *edge], listen, logs / f"{called}.log")
            clients.append(await stack.enter_async_context(ProverClient(listen)))
        digests = {}
        for circuit in circuits.values():
            for client in clients:
                known = await client.register_circuit(
                    name=circuit.name,
                    zkey=circuit.zkey_path,
                    r1cs=circuit.r1cs_path,
                    program=None if client is clients[0] else circuit.tape_path,
                )
                digests[circuit.name] = known.digest
        return cls(clients[1:], digests)
