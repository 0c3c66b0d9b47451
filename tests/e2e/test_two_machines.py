"""One training run on two machines: two commands on this one, and in two network namespaces joined by a cable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.app.launch import free_port

Run = Callable[..., Any]
NUMBERS = ("--learning_rate=1e-3", "--random_seed=42", "--data_threads=0", "--epoch_num=1")
ADDRESSES = ("10.213.71.1", "10.213.71.2")


def losses(folder: Path) -> list[float]:
    lines = next((folder / "log").glob("*.jsonl")).read_text().splitlines()
    return [entry["train/loss"] for entry in map(json.loads, lines) if "train/loss" in entry]


@pytest.fixture(scope="module")
def alone(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, easynlp_here: Run, arguments: Run) -> list[float]:
    """The losses of one process with the same global batches of 8."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    argv = arguments("train", catalogue / "train.csv", f"--checkpoint_dir={folder}", *NUMBERS, "--micro_batch_size=8")
    outcome = easynlp_here(argv)
    assert outcome.code == 0, outcome.err
    return losses(folder)


@pytest.fixture
def train_on_two(catalogue: Path, tmp_path: Path, console_script: Run, arguments: Run) -> Callable[..., Path]:
    """Runs the command once for each machine, with a prefix each; the folder they write."""

    def train(address: str, port: int, prefixes: Sequence[Sequence[str]]) -> Path:
        folder = tmp_path / "out"
        argv = arguments(
            "train",
            catalogue / "train.csv",
            f"--checkpoint_dir={folder}",
            *NUMBERS,
            "--micro_batch_size=4",
            "--worker_count=2",
            "--worker_cpu=1",
        )
        machines = [
            subprocess.Popen(
                [*prefix, console_script("easynlp"), *argv],
                env={**os.environ, "RANK": str(rank), "MASTER_ADDR": address, "MASTER_PORT": str(port)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            for rank, prefix in enumerate(prefixes)
        ]
        try:
            output = [machine.communicate(timeout=180)[0] for machine in machines]
        finally:
            for machine in machines:
                machine.terminate()  # torchrun's launcher ends its workers on SIGTERM
        assert [machine.returncode for machine in machines] == [0, 0], "\n".join(output)
        return folder

    return train


def test_two_commands_on_this_machine(train_on_two: Callable[..., Path], alone: list[float]) -> None:
    folder = train_on_two("127.0.0.1", free_port(), [[], []])
    assert losses(folder) == pytest.approx(alone, abs=1e-3)


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    """Names of two network namespaces, `ADDRESSES` at the ends of the cable between them; neither sees this machine."""
    ip = shutil.which("ip", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if ip is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    names = [f"fashionklip{os.getpid()}-{number}" for number in range(2)]
    ends = [f"fk{os.getpid() % 10**8}n{number}" for number in range(2)]
    commands = [
        *(f"netns add {name}" for name in names),
        f"link add {ends[0]} netns {names[0]} type veth peer name {ends[1]} netns {names[1]}",
    ]
    for name, end, address in zip(names, ends, ADDRESSES, strict=True):
        commands += [f"-n {name} addr add {address}/24 dev {end}", f"-n {name} link set {end} up"]
        commands += [f"-n {name} link set lo up"]
    try:
        for command in commands:
            made = subprocess.run([ip, *command.split()], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"network namespaces cannot be made here: ip {command}: {made.stderr.strip()}")
        yield [f"{ip} netns exec {name}" for name in names]
    finally:
        for name in names:
            subprocess.run([ip, "netns", "delete", name], capture_output=True)


@pytest.mark.slow
def test_two_network_namespaces(
    train_on_two: Callable[..., Path], alone: list[float], namespaces: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)  # that it is found out is what is tested
    folder = train_on_two(ADDRESSES[0], 29500, [name.split() for name in namespaces])
    assert losses(folder) == pytest.approx(alone, abs=1e-3)
