"""When a call is tried again, and after how long. Every call of this API is idempotent, so trying again is safe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; a service's own retry-after is honoured instead where it gives one."""

    attempts: int = 5
    """Tries in all, the first included."""
    first_delay: float = 0.2
    """Seconds before the second try."""
    factor: float = 2.0
    """Growth of the delay from one try to the next."""
    longest_delay: float = 10.0
    """Upper bound of one delay, in seconds; a retry-after beyond it ends the trying."""

    def delay(self, attempt: int, code: str, retry_after: float | None, jitter: float) -> float | None:
        """Seconds to wait after failed try `attempt` (1, 2, ...), or None to give up. `jitter` is uniform in [0, 1).

        Retried are UNAVAILABLE and RESOURCE_EXHAUSTED only. The delay is first_delay * factor^(attempt-1), bounded,
        times (1 + jitter) / 2; or retry_after * (1 + jitter / 10), so that a crowd does not return at once.
        """
        if attempt >= self.attempts or code not in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
            return None
        if retry_after is not None:
            return None if retry_after > self.longest_delay else retry_after * (1 + jitter / 10)
        grown = self.first_delay * self.factor ** (attempt - 1)
        return float(min(grown, self.longest_delay) * (1 + jitter) / 2)
