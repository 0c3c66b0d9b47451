"""ZeRO trains as torch does, on 1 and 2 processes: losses, gradient norms, weights, resumed and skipped steps."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import zero_program
from torch import Tensor

import easynlp_fashionklip
from easynlp_fashionklip.app.launch import free_port
from easynlp_fashionklip.models.zoo import load_pretrained

pytest.importorskip("deepspeed", reason="the extra [deepspeed] is not installed")

Results = list[dict[str, dict[str, Any]]]
FAST = ("zero1", "zero2")


def run_processes(folder: Path, world: int, names: Sequence[str]) -> Results:
    """What each of `world` processes of zero_program.py found."""
    folder.mkdir(exist_ok=True)
    root = Path(easynlp_fashionklip.__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
        "CUDA_VISIBLE_DEVICES": "",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(world),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, zero_program.__file__, str(folder), *names],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        output = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, "\n".join(output)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zero")


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """Torch alone on the global batches, in this process."""
    return zero_program.with_ddp("", Path())


@pytest.fixture(scope="module")
def two(folder: Path) -> Results:
    return run_processes(folder / "two", 2, ("ddp", *FAST))


@pytest.fixture(scope="module")
def one(folder: Path, two: Results) -> Results:
    return run_processes(folder / "one", 1, (*FAST, "elsewhere", "refused"))


@pytest.fixture(scope="module")
def rest(folder: Path) -> Results:
    return run_processes(folder / "rest", 2, ("zero3", "offload"))


@pytest.fixture(
    params=[
        *((world, name) for world in ("one", "two") for name in FAST),
        *(pytest.param(("rest", name), marks=pytest.mark.slow) for name in ("zero3", "offload")),
    ],
    ids="-".join,
)
def ranks(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Every rank's results of one configuration on one number of processes."""
    world, name = request.param
    return [rank[name] for rank in request.getfixturevalue(world)]


def assert_same_steps(got: list[tuple[float, ...]], expected: list[tuple[float, ...]], tolerance: float) -> None:
    assert len(got) == len(expected) > 0
    for step, wanted in zip(got, expected, strict=True):
        assert step == pytest.approx(wanted, abs=tolerance)


def assert_same_weights(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert got.keys() == expected.keys()
    for name, tensor in got.items():
        torch.testing.assert_close(tensor.float(), expected[name].float(), rtol=0, atol=tolerance, msg=name)


def test_the_oracle_is_the_same_with_distributed_data_parallel(two: Results, plain: dict[str, Any]) -> None:
    for rank in two:
        assert_same_steps(rank["ddp"]["told"], plain["told"], 2e-5)
        assert_same_weights(rank["ddp"]["weights"], plain["weights"], 1e-6)
    assert all(norm > zero_program.MAX_NORM for *_, norm, _ in plain["told"])  # so that clipping is tested


def test_losses_and_gradient_norms_are_those_of_torch(ranks: list[dict[str, Any]], plain: dict[str, Any]) -> None:
    for rank in ranks:
        assert_same_steps(rank["told"], plain["told"], 2e-5)
        assert rank["rate"] == pytest.approx(0, abs=1e-9)  # the schedule's end


def test_gradient_caching_gives_the_same_steps(ranks: list[dict[str, Any]], plain: dict[str, Any]) -> None:
    for rank in ranks:
        assert_same_steps(rank["cached"], plain["told"], 2e-5)
    assert_same_weights(ranks[0]["cached_weights"], plain["weights"], 1e-6)


def test_weights_are_whole_and_those_of_torch(ranks: list[dict[str, Any]], plain: dict[str, Any]) -> None:
    assert_same_weights(ranks[0]["weights"], plain["weights"], 1e-6)
    moved = [not torch.equal(ranks[0]["begun"][name], tensor) for name, tensor in ranks[0]["weights"].items()]
    assert sum(moved) > len(moved) / 2


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["resumed"] == rank["told"][2:]
        assert_same_weights(rank["resumed_weights"], rank["weights"], 0)


def test_a_gradient_that_is_no_number_on_one_process_skips_the_step_on_all(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert [step[-2:] for step in rank["spoilt"]] == [(math.inf, True)]
        assert rank["unchanged"]


def test_all_processes_can_evaluate_with_unequal_work(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        torch.testing.assert_close(rank["embeds"], ranks[0]["embeds"], rtol=0, atol=0)


@pytest.mark.parametrize("name", FAST)
def test_consolidated_weights_are_an_ordinary_checkpoint(folder: Path, two: Results, name: str) -> None:
    encoder = load_pretrained(str(folder / "two" / name))
    assert_same_weights(dict(encoder.state_dict()), two[0][name]["weights"], 0)


@pytest.mark.slow
def test_consolidated_weights_of_stage_3_are_an_ordinary_checkpoint(folder: Path, rest: Results) -> None:
    encoder = load_pretrained(str(folder / "rest" / "zero3"))
    assert_same_weights(dict(encoder.state_dict()), rest[0]["zero3"]["weights"], 0)


def test_resume_points_of_another_run_are_refused_in_a_sentence(one: Results) -> None:
    messages = one[0]["elsewhere"]
    assert messages.keys() == {"zero1.deepspeed", "zero2.deepspeed"}
    for message in messages.values():
        assert "was saved by 2 processes and this run has 1; start 2, or start anew" in message


@pytest.mark.slow
def test_bf16_keeps_its_weights_in_fp32_and_its_losses_near(folder: Path, plain: dict[str, Any]) -> None:
    for rank in run_processes(folder / "bf16", 2, ["bf16"]):
        assert rank["bf16"]["dtypes"] <= {torch.float32, torch.int64}
        losses = [loss for step in rank["bf16"]["told"] for loss in step[:2]]
        exact = [loss for step in plain["told"] for loss in step[:2]]
        assert losses == pytest.approx(exact, abs=0.1)
        assert losses != pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown key", r"bad\.json: DeepSpeed does not accept it \(stag.*"),
        ("another stage", r"zero1\.deepspeed was saved with ZeRO stage 1 and deepspeed_config has 2; give the file"),
        ("no folder", r"saved without DeepSpeed; resume without deepspeed_config"),
        ("not whole", r"one is no whole resume point of DeepSpeed; give an older one"),
        ("damaged", r"damaged is damaged \(.+\)\.$"),
        ("without DeepSpeed", r"saved without DeepSpeed; resume without deepspeed_config"),
        ("unwritable", r"a file/x\.deepspeed cannot be written"),
        ("half precision", r"precision=fp16 is not supported with deepspeed_config"),
    ],
)
def test_what_is_refused_in_a_sentence(one: Results, case: str, words: str) -> None:
    message = one[0]["refused"][case]
    assert re.search(words, message), message
    assert "\n" not in message


def test_nothing_half_written_remains(folder: Path, one: Results) -> None:
    assert not [path for path in (folder / "one").rglob("*") if path.name.endswith((".part", ".old"))]
