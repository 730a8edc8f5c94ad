"""Why an operation is refused. `field` names the part of the operation; nothing secret is in a message."""

from __future__ import annotations

from prover_core.errors import InvalidInputError, VerificationError


class OperationError(InvalidInputError):
    """An operation cannot be executed on this state; the state is left as it was."""


class MalformedOperationError(OperationError):
    """The operation is wrong in itself: an amount of zero, a transfer to oneself, a token or index out of range."""


class SignatureError(OperationError):
    """The signature is not the sender's over this operation."""


class StaleNonceError(OperationError):
    """The operation's nonce is not the sender's next one (already used, or too far ahead)."""


class OverdraftError(OperationError):
    """The sender's balance of the token is below the amount."""


class SlippageError(OperationError):
    """The swap would yield less than the operation's minimum."""


class UnknownAccountError(OperationError):
    """There is no account at this index."""


class UnknownPoolError(OperationError):
    """There is no pool at this index, or it does not trade the token."""


class LimitError(OperationError):
    """A balance or reserve would reach 2^96."""


class ChainError(VerificationError):
    """Leaf proofs do not form the block's chain; the message names operation, segment and signal."""
