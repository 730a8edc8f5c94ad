"""The error tree. Every error a caller can cause says what is wrong and where; nothing else may be raised on purpose.

`field` names the offending input in the caller's own words (an input signal, a file section, a message field); services
copy it into `google.rpc.BadRequest`, so it must never hold secret values.
"""

from __future__ import annotations


class ProverError(Exception):
    """Root of every error this distribution raises on purpose."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidInputError(ProverError):
    """A value from outside is malformed: wrong name, count, range or type."""


class FormatError(InvalidInputError):
    """Bytes are not the file format they claim to be; `field` names the section."""


class CircuitError(ProverError):
    """A circuit definition is wrong (a programming error in the DSL), found while it is built."""


class UnsatisfiedError(ProverError):
    """The witness breaks a constraint. `row` is the R1CS row, `label` what the circuit's author called it."""

    def __init__(self, message: str, *, row: int = -1, label: str = "", field: str = "") -> None:
        super().__init__(message, field=field)
        self.row = row
        self.label = label


class WitnessProgramError(ProverError):
    """A witness program failed: it trapped, ran out of fuel or memory, or is not a witness program."""


class StreamOrderError(ProverError):
    """Chunks do not cover the wires exactly once: a gap, an overlap or a missing end."""


class StoppedError(ProverError):
    """The work was given up before it ended, because somebody asked for that."""


class VerificationError(ProverError):
    """A proof does not verify, or its encoding is not canonical or not on the curve or in the subgroup."""


class BackendError(ProverError):
    """A backend cannot serve (no device, no memory) or returned a result that failed its check."""


class UnavailableError(ProverError):
    """Something outside that this needs (a database, a store of artifacts) cannot be used now; later it may."""


class DamagedError(ProverError):
    """Something that was stored has come back as other bytes."""
