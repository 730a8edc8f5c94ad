"""Which hosts are this machine: where plain text may be spoken, if it is asked for."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host, written as a name or an address, can only be this machine; names but `localhost` do not count."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
