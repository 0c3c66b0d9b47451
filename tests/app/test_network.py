"""Which interface gloo is told to use, on made-up machines and on this one."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from easynlp_fashionklip.app import network
from easynlp_fashionklip.errors import InputError


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As left by the test, the variable goes with it."""
    monkeypatch.setenv(network.VARIABLE, "")
    monkeypatch.delenv(network.VARIABLE)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """eth0 10.0.0.5 towards 10.0.0.x, eth1 192.168.7.5 towards the world; its own name stands for 127.0.1.1."""
    names = {"node0": "127.0.1.1", "node1": "10.0.0.6"}

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        address = names.get(host, host)
        if not address[0].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, port))]

    def source(_: int, target: tuple[str, int]) -> str:
        if target[0].startswith("127."):
            return "127.0.0.1"
        return "10.0.0.5" if target[0].startswith("10.0.0.") else "192.168.7.5"

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(network, "_source", source)
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0"), (3, "eth1")])
    addresses = {"lo": "127.0.0.1", "eth0": "10.0.0.5", "eth1": "192.168.7.5"}
    monkeypatch.setattr(network, "_ipv4_of", addresses.get)


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("10.0.0.6", "eth0"),
        ("node1", "eth0"),
        ("10.0.0.5", "eth0"),  # this machine itself
        ("172.16.0.1", "eth1"),
        ("node0", "eth1"),  # loopback to itself, of no use to the others
        ("127.0.0.1", "eth1"),
    ],
)
def test_the_interface_that_reaches_the_first_machine(machine: None, address: str, interface: str) -> None:
    network.choose_interface(address)
    assert os.environ[network.VARIABLE] == interface


def test_the_users_choice_stays(machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(network.VARIABLE, "ib0")
    network.choose_interface("10.0.0.6")
    assert os.environ[network.VARIABLE] == "ib0"


def test_a_name_that_nobody_knows(machine: None) -> None:
    with pytest.raises(InputError, match=r"MASTER_ADDR=nobody cannot be resolved \(Name or service not known\); give"):
        network.choose_interface("nobody")


def test_a_machine_without_a_way_out_leaves_it_to_gloo(machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_source", lambda _, target: "127.0.0.1" if target[0].startswith("127.") else None)
    network.choose_interface("127.0.0.1")
    assert network.VARIABLE not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the addresses of its interfaces")
def test_interfaces_of_this_machine() -> None:
    assert network._name_of("127.0.0.1") == "lo"
    assert network._name_of("203.0.113.77") is None
    table = network._ipv6_names()
    if table:
        address, name = next(iter(table.items()))
        assert network._name_of(socket.inet_ntop(socket.AF_INET6, address)) == name
