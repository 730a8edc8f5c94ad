"""A block's claim as JSON and back, so that it can lie beside the proofs and be checked later by someone else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prover_core.errors import FormatError, ProverError
from prover_core.reference.babyjubjub import Point
from prover_core.reference.eddsa import Signature

from .chain import BlockClaim
from .operations import Action, MultiStep, Operation, SignedOperation, Step, Swap, TokenTransfer, Transfer

Json = dict[str, Any]

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")


def _integer(value: object) -> int:
    """A JSON integer or a canonical decimal string, so that no number is rounded and none has two spellings."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    raise ValueError(f"{str(value)[:80]!r} is not an integer")


def _action_to_json(action: Action) -> Json:
    match action:
        case Transfer(recipient, amount):
            return {"type": "transfer", "recipient": recipient, "amount": str(amount)}
        case TokenTransfer(token, recipient, amount):
            return {"type": "token_transfer", "token": token, "recipient": recipient, "amount": str(amount)}
        case Swap(token_in, amount_in, route, minimum_out):
            return {
                "type": "swap",
                "token_in": token_in,
                "amount_in": str(amount_in),
                "route": list(route),
                "minimum_out": str(minimum_out),
            }
        case MultiStep(steps):
            return {"type": "multi_step", "steps": [_action_to_json(step) for step in steps]}


def _step_from_json(data: Mapping[str, Any]) -> Step:
    match data["type"]:
        case "transfer":
            return Transfer(_integer(data["recipient"]), _integer(data["amount"]))
        case "token_transfer":
            return TokenTransfer(_integer(data["token"]), _integer(data["recipient"]), _integer(data["amount"]))
        case "swap":
            route = tuple(_integer(pool) for pool in data["route"])
            return Swap(_integer(data["token_in"]), _integer(data["amount_in"]), route, _integer(data["minimum_out"]))
    raise FormatError(f"there is no action of type {data['type']!r}", field="type")


def _action_from_json(data: Mapping[str, Any]) -> Action:
    if data["type"] == "multi_step":
        return MultiStep(tuple(_step_from_json(step) for step in data["steps"]))
    return _step_from_json(data)


def operation_to_json(signed: SignedOperation) -> Json:
    """Numbers that may pass 2^53 are decimal strings."""
    operation, signature = signed.operation, signed.signature
    return {
        "sender": operation.sender,
        "nonce": operation.nonce,
        "action": _action_to_json(operation.action),
        "signature": [str(signature.r8.x), str(signature.r8.y), str(signature.s)],
    }


def operation_from_json(data: Mapping[str, Any]) -> SignedOperation:
    """`FormatError` if a field is missing or not what it should be, `MalformedOperationError` if a policy is broken."""
    try:
        operation = Operation(_integer(data["sender"]), _integer(data["nonce"]), _action_from_json(data["action"]))
        x, y, s = (_integer(v) for v in data["signature"])
    except ProverError:
        raise
    except KeyError as e:
        raise FormatError(f"the operation has no field {e.args[0]!r}", field=str(e.args[0])) from e
    except (TypeError, ValueError) as e:
        raise FormatError(f"the operation is malformed: {e}", field="operation") from e
    return SignedOperation(operation, Signature(Point(x, y), s))


def claim_to_json(claim: BlockClaim) -> Json:
    """Roots are decimal strings; the inverse of `claim_from_json`."""
    return {
        "chain_id": claim.chain_id,
        "state_before": str(claim.state_before),
        "state_after": str(claim.state_after),
        "operations": [operation_to_json(signed) for signed in claim.operations],
    }


def claim_from_json(data: Mapping[str, Any]) -> BlockClaim:
    """Errors as `operation_from_json`."""
    try:
        header = _integer(data["chain_id"]), _integer(data["state_before"]), _integer(data["state_after"])
        operations = list(data["operations"])
    except KeyError as e:
        raise FormatError(f"the claim has no field {e.args[0]!r}", field=str(e.args[0])) from e
    except (TypeError, ValueError) as e:
        raise FormatError(f"the claim is malformed: {e}", field="claim") from e
    return BlockClaim(*header, tuple(operation_from_json(o) for o in operations))
