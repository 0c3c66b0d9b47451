"""Two and three processes over gloo equal one, with unequal shares too; everything is a no-op with a single process.

The file is also the program of those processes: `python test_distributed.py FOLDER` writes FOLDER/RANK.pt.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import on_processes
from torch import Tensor
from torch.nn import functional as F

import easynlp_fashionklip
from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.launch import free_port
from easynlp_fashionklip.losses import ConceptBatch, ConceptVisualAlignmentLoss, ImageTextContrastiveLoss, total_loss

WORLDS = (2, 3)
PAIRS, CONCEPTS, PROTOTYPES = 7, 5, 7  # no multiples of a number of processes
VARIANTS = ("both", "paper", "both in tiles")
SEED = 20


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED + seed), dtype=torch.float64)


def concept_batch() -> ConceptBatch:
    membership = torch.zeros(PAIRS, CONCEPTS, dtype=torch.bool)
    for pair, named in enumerate([[0, 1], [], [2], [3, 4], [0], [2, 3], [4]]):
        membership[pair, named] = True
    related = torch.eye(CONCEPTS, dtype=torch.bool)
    related[0, 1] = related[1, 0] = True
    return ConceptBatch(
        membership=membership,
        related=related,
        prototype_embeds=F.normalize(random(PROTOTYPES, 4, seed=1), dim=1),
        prototype_index=torch.tensor([[0, 1, 2], [1, 3, 0], [4, 5, 6], [6, 2, 0], [0, 0, 0]]),
        prototype_mask=torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.bool),
        slots=torch.tensor([[0, 1], [-1, -1], [2, -1], [3, 4], [0, -1], [2, 3], [4, -1]]),
    )


def share(rows: Tensor) -> Tensor:
    """This process's rows: a contiguous slice, of another length than the others' where it does not come out even."""
    return rows[distributed.own_slice(distributed.share_sizes(len(rows)))]


def loss_and_gradients(name: str) -> list[Tensor]:
    """ITC + CVA over the global batch, and its gradient in two encoders and the scale, as DDP would average it."""
    variant, _, tiles = name.partition(" ")
    images_encoder = random(5, 4, seed=2).requires_grad_()
    text_encoder = random(5, 4, seed=3).requires_grad_()
    log_scale = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    embeds = []
    for rows, encoder in (
        (random(PAIRS, 5, seed=4), images_encoder),
        (random(PAIRS, 5, seed=5), text_encoder),
        (random(CONCEPTS, 5, seed=6), text_encoder),
    ):
        embeds.append(distributed.gather_with_grad(F.normalize(share(rows) @ encoder, dim=1)))
    images, texts, concepts = embeds
    products = distributed.gather(share(torch.tensor([1, 2, 3, 1, 5, 6, 7])))
    batch = concept_batch()
    assert torch.equal(distributed.gather(share(batch.membership)), batch.membership)
    itc = ImageTextContrastiveLoss()(images, texts, log_scale.exp(), products)
    cva = ConceptVisualAlignmentLoss(variant, 2, 2 if tiles else 0)(images, concepts, batch, log_scale.exp())  # type: ignore[arg-type]
    loss = total_loss(itc, cva, 0.3)
    gradients = [g.clone() for g in torch.autograd.grad(loss, (images_encoder, text_encoder, log_scale))]
    if distributed.is_distributed():
        for gradient in gradients:
            torch.distributed.all_reduce(gradient)
            gradient /= distributed.world_size()
    return [loss.detach(), *gradients]


def shared_gradient() -> list[Tensor]:
    """Two gathered tensors whose sum hands the same gradient tensor to both."""
    one = torch.full((2, 3), 1.0 + distributed.rank(), requires_grad=True)
    other = torch.full((2, 3), 5.0, requires_grad=True)
    both = distributed.gather_with_grad(one) + distributed.gather_with_grad(other)
    weights = torch.arange(1.0, both.numel() + 1).reshape(both.shape)
    return list(torch.autograd.grad((both * weights).sum(), (one, other)))


def primitives() -> dict[str, Any]:
    rank = distributed.rank()
    return {
        "rank": rank,
        "world_size": distributed.world_size(),
        "is_distributed": distributed.is_distributed(),
        "gathered": distributed.gather(torch.tensor([[rank, 10 * rank]])).tolist(),
        "columns": distributed.gather(torch.tensor([[rank, rank], [2, 3]]).T).tolist(),
        "empty": tuple(distributed.gather_with_grad(torch.zeros(0, 4)).shape),
        "objects": distributed.gather_objects({"rank": rank, "values": list(range(rank))}),
        "broadcast": distributed.broadcast_object(["from", rank]),
        "unequal": distributed.gather(torch.full((rank, 2), rank)).tolist(),
        "sizes": (distributed.gather_sizes(rank), distributed.share_sizes(7), distributed.own_slice([3, 2, 2])),
        "sum": distributed.sum_over_ranks(torch.tensor([1.0, rank])).tolist(),
        "any": [distributed.any_rank(flag) for flag in (False, rank == 0, rank == distributed.world_size() - 1, True)],
    }


def worker(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.initialise()
    distributed.initialise()  # a second call changes nothing
    result = {variant: loss_and_gradients(variant) for variant in VARIANTS}
    torch.save({**result, "shared": shared_gradient(), "primitives": primitives()}, folder / f"{distributed.rank()}.pt")
    distributed.barrier()
    distributed.finish()


@pytest.fixture(scope="module", params=WORLDS)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of several processes found."""
    world = request.param
    folder = tmp_path_factory.mktemp("ranks")
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
            [sys.executable, __file__, str(folder)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_several_processes_equal_one_in_loss_and_gradient(ranks: list[dict[str, Any]], variant: str) -> None:
    expected = loss_and_gradients(variant)
    assert all(gradient.abs().max() > 1e-3 for gradient in expected[1:])
    for rank in ranks:
        for got, wanted in zip(rank[variant], expected, strict=True):
            assert torch.allclose(got, wanted, rtol=0, atol=1e-10)


def test_gathering_does_not_write_into_a_gradient_that_others_share(ranks: list[dict[str, Any]]) -> None:
    """Each rank's rows get the sum over the ranks (here all have the same weights), for both tensors alike."""
    world = len(ranks)
    weights = torch.arange(1.0, 6.0 * world + 1).reshape(2 * world, 3)
    for rank in range(world):
        for gradient in ranks[rank]["shared"]:
            assert torch.equal(gradient, world * weights[2 * rank : 2 * rank + 2])


def test_primitives_of_several_processes(ranks: list[dict[str, Any]]) -> None:
    world = len(ranks)
    for rank in range(world):
        assert ranks[rank]["primitives"] == {
            "rank": rank,
            "world_size": world,
            "is_distributed": True,
            "gathered": [[one, 10 * one] for one in range(world)],
            "columns": [row for one in range(world) for row in ([one, 2], [one, 3])],
            "empty": (0, 4),
            "objects": [{"rank": one, "values": list(range(one))} for one in range(world)],
            "broadcast": ["from", 0],
            "unequal": [[one, one] for one in range(world) for _ in range(one)],  # nothing of rank 0
            "sizes": (
                list(range(world)),
                [3, 4] if world == 2 else [2, 2, 3],
                [slice(0, 3), slice(3, 5), slice(5, 7)][rank],
            ),
            "sum": [world, sum(range(world))],
            "any": [False, True, True, True],
        }


class Dying:
    """In a reference cycle; says at its end whether the process group was still there."""

    def __init__(self, said: list[bool]) -> None:
        self.cycle, self.said = self, said

    def __del__(self) -> None:
        self.said.append(torch.distributed.is_initialized())


def finished() -> list[bool]:
    gc.collect()
    gc.disable()
    said: list[bool] = []
    Dying(said)
    distributed.finish()
    distributed.initialise()  # for what follows in this process
    return said


@pytest.mark.usefixtures("on_the_cpu")
def test_what_a_training_leaves_goes_before_its_group() -> None:
    """Otherwise a process of several may hang at its end, see `distributed.finish`."""
    assert on_processes(1, finished) == [[True]]


def test_a_single_process_needs_no_group() -> None:
    assert primitives() == {
        "rank": 0,
        "world_size": 1,
        "is_distributed": False,
        "gathered": [[0, 0]],
        "columns": [[0, 2], [0, 3]],
        "empty": (0, 4),
        "objects": [{"rank": 0, "values": []}],
        "broadcast": ["from", 0],
        "unequal": [],
        "sizes": ([0], [7], slice(0, 3)),
        "sum": [1.0, 0.0],
        "any": [False, True, True, True],
    }
    distributed.barrier()
    distributed.finish()


def test_gathering_is_the_identity_with_a_single_process() -> None:
    local = torch.ones(2, 3, requires_grad=True)
    assert distributed.gather_with_grad(local) is local
    assert distributed.gather(local) is local


def test_the_device_is_the_cpu_or_this_process_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distributed.local_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed.local_device() == torch.device("cuda", 3)


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
