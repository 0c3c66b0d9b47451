"""How many processes, on how many machines, and what a child's failure becomes."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
import torch

from easynlp_fashionklip.app import launch as launching
from easynlp_fashionklip.app.arguments import peek
from easynlp_fashionklip.app.launch import free_port, machines, processes_per_machine
from easynlp_fashionklip.errors import InputError


@pytest.mark.parametrize(
    ("gpus", "argv", "expected"),
    [
        (0, [], 1),
        (0, ["--worker_cpu=3"], 3),
        (0, ["--worker_gpu=2"], 2),
        (0, ["--worker_gpu=2", "--worker_cpu=4"], 4),
        (0, ["--worker_cpu=-1"], 1),
        (4, [], 4),
        (4, ["--worker_gpu=2"], 2),
        (4, ["--worker_cpu=7"], 4),
        (4, ["--worker_gpu=2", "--mode=predict"], 1),
        (0, ["--worker_cpu=2", "--mode=predict"], 1),
        (0, ["--worker_cpu=2", "--mode=evaluate"], 2),
    ],
)
def test_processes_per_machine(monkeypatch: pytest.MonkeyPatch, gpus: int, argv: Sequence[str], expected: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert processes_per_machine(peek(argv)) == expected


def test_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"--worker_gpu=3.*has 2"):
        processes_per_machine(peek(["--worker_gpu=3"]))


def test_one_machine_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.9")
    count, rank, address, port = machines(peek(["--worker_count=1"]))
    assert (count, rank, address) == (1, 0, "127.0.0.1")
    assert port > 1023


def set_machine(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_several_machines_by_pais_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    set_machine(monkeypatch, RANK="2", MASTER_ADDR="10.0.0.9", MASTER_PORT="23456")
    assert machines(peek(["--worker_count=3"])) == (3, 2, "10.0.0.9", 23456)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"RANK": "0", "MASTER_PORT": "1"}, "MASTER_ADDR is not set"),
        ({"RANK": "3", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK=3 is not a machine number from 0 to 2"),
        ({"RANK": "x", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK=x"),
        ({"RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "http"}, "MASTER_PORT=http"),
    ],
)
def test_machines_that_are_not_described(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    set_machine(monkeypatch, **variables)
    with pytest.raises(InputError, match=words):
        machines(peek(["--worker_count=3"]))


def test_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        port = free_port()
        probe.bind(("127.0.0.1", port))
        assert probe.getsockname()[1] == port != 0


def test_several_processes_go_to_torchrun_with_argv_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    set_machine(monkeypatch, RANK="1", MASTER_ADDR="10.0.0.9", MASTER_PORT="99")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(launching, "check", lambda flags: None)
    asked = []
    monkeypatch.setattr(launching, "choose_interface", asked.append)
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "INFO")
    seen = []
    monkeypatch.setattr(launching, "_run_with_torchrun", lambda *args: seen.append(args) or 7)
    argv = ["--worker_count=2", "--worker_cpu=2", "--user_defined_parameters=a=b c='d e'"]
    assert launching.launch(argv) == 7
    assert seen == [(argv, 2, 1, "10.0.0.9", 99, 2)]
    assert asked == ["10.0.0.9"]


@pytest.mark.parametrize(("rank", "why"), [(0, "1/2 clients joined"), (1, "timed out")])
def test_a_machine_that_stays_alone_says_so(monkeypatch: pytest.MonkeyPatch, rank: int, why: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP_NUM_THREADS", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(launching, "SECONDS_TO_MEET", 1)
    port = free_port()
    with pytest.raises(
        InputError, match=rf"machine {rank} of 2 did not meet .*MASTER_PORT={port} \(.*{why}.*\); start"
    ):
        launching._run_with_torchrun([], 2, rank, "127.0.0.1", port, 1)


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP_NUM_THREADS", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"):
        monkeypatch.setenv(name, "1")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"MASTER_PORT={port} \(.*address already in use.*a free port"):
            launching._run_with_torchrun([], 2, 0, "127.0.0.1", port, 1)
