"""Which network interface reaches the other machines: gloo, left alone, takes the address of this machine's name."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

from easynlp_fashionklip.errors import InputError

VARIABLE = "GLOO_SOCKET_IFNAME"
_ELSEWHERE = "198.51.100.1"  # RFC 5737, documentation: stands for anything beyond this network; nothing is sent
_SIOCGIFADDR = 0x8915
_IPV6_TABLE = Path("/proc/net/if_inet6")


def choose_interface(address: str) -> None:
    """Have gloo talk to the other machines over the interface that reaches `address`, unless the user has chosen one.

    A machine's own name often stands for 127.0.0.1 in /etc/hosts, where the others look for it in vain.

    Args:
        address: MASTER_ADDR, of another machine or of this one.

    Raises:
        InputError: it is no address that this machine knows.
    """
    local = local_address(address)
    name = None if os.environ.get(VARIABLE) else _name_of(local)
    if name:
        os.environ[VARIABLE] = name


def local_address(address: str) -> str | None:
    """This machine's own address on the way to `address`; that to the world where `address` is loopback.

    None where there is no way out of this machine.

    Raises:
        InputError: the name `address` cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(address, 1, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise InputError(
            f"MASTER_ADDR={address} cannot be resolved ({error.strerror}); give the IP address of machine 0."
        ) from error
    for family, target in ((family, target) for family, _, _, _, target in found):
        local = _source(family, target)
        if local is not None and not _is_loopback(local):
            return local
    return _source(socket.AF_INET, (_ELSEWHERE, 1))


def _source(family: int, target: tuple[object, ...]) -> str | None:
    """The address that packets to `target` would leave from; connecting a UDP socket sends none."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])
    return None


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _name_of(address: str | None) -> str | None:
    """The interface with an address; None where that cannot be found out (only Linux tells)."""
    if address is None:
        return None
    if ":" in address:
        return _ipv6_names().get(socket.inet_pton(socket.AF_INET6, address.split("%")[0]))
    return next((name for _, name in socket.if_nameindex() if _ipv4_of(name) == address), None)


def _ipv4_of(name: str) -> str | None:
    try:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = struct.pack("256s", name.encode()[:15])
            return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)[20:24])
    except (ImportError, OSError):  # not Linux; or an interface without an address
        return None


def _ipv6_names() -> dict[bytes, str]:
    """Interface by address; each line of the kernel's table begins with the one and ends with the other."""
    try:
        rows = [line.split() for line in _IPV6_TABLE.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {bytes.fromhex(row[0]): row[-1] for row in rows}
