"""Loopback ports: which are free, and what to say about one that is not."""

import errno
import ipaddress
import socket

from schemas.errors import SetupError

LOOPBACK = "127.0.0.1"
_PROBE_TIMEOUT_S = 1.0


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which nobody else reaches."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def free_port() -> int:
    """A TCP port on the loopback address that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int, timeout_s: float = _PROBE_TIMEOUT_S) -> bool:
    """Whether something listens on that loopback port."""
    with socket.socket() as probe:
        probe.settimeout(timeout_s)
        return probe.connect_ex((LOOPBACK, port)) == 0


def is_free(port: int) -> bool:
    """Whether that loopback port can be bound.

    Raises:
        PermissionError: It may not be bound by this account.
    """
    # Binding alone does not notice a listener on the wildcard address on every system.
    if accepts(port):
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def require_free(port: int, *, owner: str, remedy: str) -> None:
    """Refuse a port that can't be bound.

    Args:
        port: The port that was asked for.
        owner: Who wants it, for the message.
        remedy: How to choose another one, such as `--kafka-port`.

    Raises:
        SetupError: It is taken or may not be bound.
    """
    try:
        free = is_free(port)
    except PermissionError as error:
        message = f"port {port} for {owner} needs privileges: choose one above 1023 with {remedy}"
        raise SetupError(message) from error
    if not free:
        message = (
            f"port {port} for {owner} is taken: stop what listens there or choose another with {remedy} "
            "(0 = any free one)"
        )
        raise SetupError(message)
