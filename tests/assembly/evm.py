"""Solidity compiled by solc and run on a real EVM."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrevm

sys.path.append(str(Path(__file__).parents[1] / "node"))
from toolchain import toolchain

CALLER = "0x" + "11" * 20
GAS = 30_000_000

ERRORS = (
    "PublicNotCanonical(uint256)",
    "PublicNotCanonical(uint256,uint256)",
    "MalformedPoint()",
    "InvalidProof()",
    "InvalidBatch()",
    "WrongCount()",
)


def compile_solidity(source: str) -> dict[str, Any]:
    """solc's output by contract name, optimised; results are kept between runs, named by the source."""
    tools = toolchain()
    kept = tools.work / f"solidity-{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        tools.work.mkdir(parents=True, exist_ok=True)
        request = {
            "language": "Solidity",
            "sources": {"source.sol": {"content": source}},
            "settings": {
                "optimizer": {"enabled": True, "runs": 10_000},
                "outputSelection": {"*": {"*": ["evm.bytecode.object", "evm.methodIdentifiers"]}},
            },
        }
        solc = tools.root / "node_modules" / "solc" / "solc.js"
        done = subprocess.run(
            [tools.node, str(solc), "--standard-json"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        kept.write_text(done.stdout[done.stdout.index("{") :])
    out: dict[str, Any] = json.loads(kept.read_text())
    problems = [e["formattedMessage"] for e in out.get("errors", [])]
    assert not problems, "\n".join(problems)
    contracts: dict[str, Any] = out["contracts"]["source.sol"]
    return contracts


def error_names() -> dict[bytes, str]:
    """Names of the contracts' errors by selector: an error's is that of a function with the same signature."""
    functions = "".join(f"function {e.replace('(', '(').replace(')', ')')} external {{}}\n" for e in ERRORS)
    source = "// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.24;\ncontract Errors {\n" + functions + "}\n"
    found = compile_solidity(source)["Errors"]["evm"]["methodIdentifiers"]
    return {bytes.fromhex(selector): name.split("(")[0] for name, selector in found.items()}


@dataclass
class Outcome:
    error: str | None
    """The name of the error that the call reverted with; None where it returned."""
    gas: int
    """Of a transaction that makes the call, calldata included."""


class Contract:
    """One deployed contract."""

    def __init__(self, source: str, name: str) -> None:
        compiled = compile_solidity(source)[name]["evm"]
        self.selectors: dict[str, bytes] = {
            signature.split("(")[0]: bytes.fromhex(selector)
            for signature, selector in compiled["methodIdentifiers"].items()
        }
        self.evm = pyrevm.EVM(gas_limit=GAS)
        self.evm.set_balance(CALLER, 10**18)
        self.address = self.evm.deploy(CALLER, bytes.fromhex(compiled["bytecode"]["object"]))
        self.code_bytes = len(compiled["bytecode"]["object"]) // 2
        self.errors = error_names()

    def call(self, function: str, arguments: bytes) -> Outcome:
        """One call as a transaction of its own."""
        data = self.selectors[function] + arguments
        try:
            self.evm.message_call(CALLER, self.address, calldata=data, gas=GAS)
        except RuntimeError as e:
            # "Revert { gas_used: 229107, output: 0x09bde339… }", or "Halt { reason: …, gas_used: … }"
            selector = re.search(r"output: 0x([0-9a-f]{8})", str(e))
            used = re.search(r"gas_used: (\d+)", str(e))
            name = self.errors.get(bytes.fromhex(selector[1])) if selector else None
            return Outcome(name or f"unknown: {e}", int(used[1]) if used else 0)
        return Outcome(None, self.evm.result.gas_used)
