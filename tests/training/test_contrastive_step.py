"""A contrastive batch in micro-batches, on 1 to 3 processes, has the loss and gradients of the batch in one piece."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from processes import on_processes
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from easynlp_fashionklip import distributed
from easynlp_fashionklip.training.contrastive_step import contrastive_step
from easynlp_fashionklip.training.task import FashionKLIPTask

Make = Callable[..., Any]
Result = tuple[dict[str, float], dict[str, Tensor]]

ROWS = [0, 1, 2, 3, 4, 5, 0]  # one product twice, one without concepts
SETTINGS: dict[str, dict[str, Any]] = {
    "image": {},
    "image, prompts": {"prompt_gradient": True},
    "image in tiles": {"loss_chunk": 2},
    "both, balanced": {"cva_variant": "both", "cva_weight": -1.0, "prompt_gradient": True},
    "both in tiles": {"cva_variant": "both", "loss_chunk": 3},
    "paper": {"cva_variant": "paper", "prompt_gradient": True},
    "sigmoid in tiles": {"itc_loss": "sigmoid", "loss_chunk": 2},
    "without a graph": {"graph": False},
}


class Engine:
    """Runs a task on this process, or on all that take part."""

    def __init__(self, task: FashionKLIPTask, half: bool = False) -> None:
        self.module: Any = DistributedDataParallel(task) if distributed.is_distributed() else task
        self.half = half
        self.messages = 0
        if distributed.is_distributed():
            self.module.register_comm_hook(None, lambda _, bucket: self._count(bucket))

    def _count(self, bucket: Any) -> torch.futures.Future[Tensor]:
        self.messages += 1
        work = torch.distributed.all_reduce(bucket.buffer().div_(distributed.world_size()), async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.half)

    @contextlib.contextmanager
    def synchronised(self, last: bool) -> Iterator[None]:
        with (
            contextlib.nullcontext()
            if last or not isinstance(self.module, DistributedDataParallel)
            else self.module.no_sync()
        ):
            yield

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()


def gradients_of(task: FashionKLIPTask) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in task.named_parameters() if value.grad is not None}


def step(task: FashionKLIPTask, batches: list[dict[str, Any]], **options: Any) -> Result:
    losses = contrastive_step(task, Engine(task), batches, **options)
    assert not any(value.requires_grad for value in losses.values())
    return {name: float(value) for name, value in losses.items()}, gradients_of(task)


def pieces(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def assert_same(got: Result, expected: Result) -> None:
    assert got[0] == pytest.approx(expected[0], abs=1e-5)
    assert got[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(got[1][name], gradient, atol=1e-5, rtol=1e-5, msg=name)
    assert any(gradient.abs().max() > 1e-3 for gradient in expected[1].values())


def one_shot(make_task: Make, make_batch: Make, settings: dict[str, Any]) -> Result:
    """Plain forward, loss, backward: no cache, no tiles."""
    task = make_task(**{**settings, "loss_chunk": 0})
    losses = task.compute_loss(task(make_batch(task, ROWS)))
    losses["loss"].backward()
    return {name: float(value.detach()) for name, value in losses.items()}, gradients_of(task)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_micro_batches_equal_the_batch_in_one_piece(make_task: Make, make_batch: Make, name: str, size: int) -> None:
    task = make_task(**SETTINGS[name])
    got = step(task, [make_batch(task, rows) for rows in pieces(ROWS, size)])
    expected = one_shot(make_task, make_batch, SETTINGS[name])
    assert_same(got, expected)
    assert ("itc.bias" in got[1]) == (name == "sigmoid in tiles")


def test_accumulated_batches_add_up(make_task: Make, make_batch: Make) -> None:
    task, other = make_task(graph=False), make_task(graph=False)
    for rows, last in (([0, 1, 2], False), ([3, 4, 5], True)):
        step(task, [make_batch(task, part) for part in pieces(rows, 2)], scale=0.5, last=last)
        (other.compute_loss(other(make_batch(other, rows)))["loss"] / 2).backward()
    assert_same(({}, gradients_of(task)), ({}, gradients_of(other)))


def with_dropout(task: FashionKLIPTask) -> FashionKLIPTask:
    for name in ("image_features", "project_text"):
        inner = getattr(task.model.backend, name)
        setattr(task.model.backend, name, lambda *x, inner=inner: nn.functional.dropout(inner(*x), 0.3))
    return task


def test_dropout_is_the_same_both_times(make_task: Make, make_batch: Make) -> None:
    """And afterwards the random numbers go on as after one forward pass."""
    rows = pieces(ROWS, 3)
    plain = with_dropout(make_task(prompt_gradient=True))
    torch.manual_seed(3)
    whole = plain.global_batch([make_batch(plain, part) for part in rows])
    outputs = []
    for part, concepts in zip(rows, whole.concepts.tensor_split(len(rows)), strict=True):
        outputs.append(plain({**make_batch(plain, part), "concepts": concepts}))
    joined = {name: torch.cat([one[name] for one in outputs]) for name in outputs[0]}
    losses = plain.compute_loss({**joined, "global_batch": whole})
    losses["loss"].backward()
    expected = {name: float(value.detach()) for name, value in losses.items()}, gradients_of(plain)
    following = torch.rand(3)

    cached = with_dropout(make_task(prompt_gradient=True))
    torch.manual_seed(3)
    got = step(cached, [make_batch(cached, part) for part in rows])
    assert_same(got, expected)
    assert torch.equal(torch.rand(3), following)
    torch.manual_seed(4)
    again = step(cached, [make_batch(cached, part) for part in rows])
    assert abs(again[0]["itc_loss"] - got[0]["itc_loss"]) > 1e-3  # dropout does something here


def test_activations_of_one_micro_batch_are_kept_and_the_last_is_encoded_once(
    make_task: Make, make_batch: Make
) -> None:
    task = make_task()
    seen: list[tuple[int, bool]] = []
    encode = task.model.encode_image

    def watched(pixel_values: Tensor) -> Tensor:
        seen.append((len(pixel_values), torch.is_grad_enabled()))
        return encode(pixel_values)

    task.model.encode_image = watched
    step(task, [make_batch(task, part) for part in pieces(ROWS, 3)])
    assert seen == [(3, False), (3, False), (1, True), (3, True), (3, True)]


def test_half_precision_stays_near(make_task: Make, make_batch: Make) -> None:
    task = make_task()
    losses = contrastive_step(task, Engine(task, half=True), [make_batch(task, part) for part in pieces(ROWS, 4)])
    expected = one_shot(make_task, make_batch, {})
    assert losses["loss"].dtype == torch.float32
    assert float(losses["loss"]) == pytest.approx(expected[0]["loss"], abs=0.1)


@pytest.mark.parametrize("settings", [{}, {"cva_variant": "both"}, {"itc_loss": "sigmoid"}, {"loss_chunk": 1}])
@pytest.mark.parametrize("rows", [[0], [5], [5, 5]])
def test_a_batch_of_one_and_one_without_concepts(
    make_task: Make, make_batch: Make, settings: dict[str, Any], rows: list[int]
) -> None:
    task = make_task(**settings)
    losses, gradients = step(task, [make_batch(task, [row]) for row in rows])
    assert losses["cva_weight"] == pytest.approx(0.2 if losses["cva_loss"] > 0 else 0.0)
    assert rows == [0] or losses["cva_loss"] == 0.0
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert len(gradients) == sum(value.requires_grad for value in task.parameters())


@pytest.mark.parametrize("variant", ["prototype", "both", "paper"])
def test_prototypes_missing_for_every_concept(make_task: Make, make_batch: Make, variant: str) -> None:
    task = make_task(cva_variant=variant)
    task.knowledge.prototype_rows.fill_(-1)
    losses, gradients = step(task, [make_batch(task, part) for part in pieces(ROWS, 4)])
    assert (losses["cva_loss"] > 0) == (variant == "both")  # the pictures are still there to align with
    assert losses["loss"] > 0
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_sigmoid_starts_at_its_own_temperature_and_bias(make_task: Make) -> None:
    task = make_task(itc_loss="sigmoid")
    assert task.model.logit_scale.exp().item() == pytest.approx(10.0)
    assert task.itc.bias.item() == -10.0
    assert task.itc.state_dict().keys() == {"bias"}
    assert "bias" not in make_task().itc.state_dict()


# ---- several processes


def share_of(world: int, rank: int) -> list[int]:
    return ROWS[rank * len(ROWS) // world : (rank + 1) * len(ROWS) // world]


def _steps(given: list[tuple[FashionKLIPTask, list[list[dict[str, Any]]]]]) -> list[Any]:
    """Losses, gradients and messages of one step of each task on this process's batches."""
    found = []
    for task, shares in given:
        batches, engine = shares[distributed.rank()], Engine(task)
        bank = task.bank.embeds.clone()
        contrastive_step(task, engine, batches, last=False)
        task.bank.embeds.copy_(bank)
        task.zero_grad()
        before = engine.messages
        losses = {name: float(value) for name, value in contrastive_step(task, engine, batches).items()}
        gradients = {name: value.numpy() for name, value in gradients_of(task).items()}
        found.append((losses, gradients, (before, engine.messages)))
    return found


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("world", [2, 3])
def test_processes_with_uneven_shares_equal_one(make_task: Make, make_batch: Make, world: int) -> None:
    names = [name for name in SETTINGS for _ in (2, 7)]
    given = []
    for name, size in zip(names, (2, 7) * len(SETTINGS), strict=True):  # of 3 rows: two micro-batches here, one there
        task = make_task(**SETTINGS[name])
        shares = [[make_batch(task, part) for part in pieces(share_of(world, rank), size)] for rank in range(world)]
        given.append((task, shares))
    expected = {name: one_shot(make_task, make_batch, settings) for name, settings in SETTINGS.items()}
    for found in on_processes(world, _steps, given):
        for name, (losses, gradients, (before, after)) in zip(names, found, strict=True):
            assert_same((losses, {key: torch.from_numpy(value) for key, value in gradients.items()}), expected[name])
            assert before == 0
            assert after == 1  # one bucket
