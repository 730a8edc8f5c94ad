"""What both daemons need to be seen from outside: metrics, recent times, traces. The SDK itself imports none of it."""
