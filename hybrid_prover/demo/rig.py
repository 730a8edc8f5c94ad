"""One cloud and some edges as processes on loopback, under mutual TLS and tokens; all of them know every circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hybrid_prover.client import ProverClient
from hybrid_prover.security.identity import Role
from prover_core.types import Digest

from .circuits import DemoCircuit
from .processes import Fleet, free_port
from .trust import Trust


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
        trust = Trust(scratch / "trust")
        known_by = trust.credentials
        port, client_port = free_port(), free_port()
        uplink, target = f"127.0.0.1:{port}", f"127.0.0.1:{client_port}"
        folder, logs = scratch / f"{name}cloud", scratch / "logs"
        arguments = ["cloud", "--port", str(port), "--client-port", str(client_port), "--data-dir", str(folder), *cloud]
        arguments += ["--tls", str(trust.certificate(Role.CLOUD, f"{name}cloud")), "--tokens", str(trust.tokens)]
        called, log = f"the {name}cloud".replace("-", " "), logs / f"{name}cloud.log"
        await fleet.add(called, arguments, target, log, credentials=known_by)
        clients = [await stack.enter_async_context(ProverClient(target, credentials=known_by))]
        for number in range(1, edges + 1):
            called, listen = f"{name}edge-{number}", f"127.0.0.1:{free_port()}"
            arguments = ["edge", "--listen", listen, "--cloud", uplink, "--state-dir", str(scratch / called)]
            arguments += ["--tls", str(trust.certificate(Role.EDGE, called)), "--tokens", str(trust.tokens)]
            arguments += ["--name", called, *edge]
            await fleet.add(called, arguments, listen, logs / f"{called}.log", credentials=known_by)
            clients.append(await stack.enter_async_context(ProverClient(listen, credentials=known_by)))
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
