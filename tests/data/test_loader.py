"""Dataset, collator and loader: reproducible samples, failures told without a traceback, tidy workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from easynlp_fashionklip.data import loader as loader_module
from easynlp_fashionklip.data.collate import PairCollator
from easynlp_fashionklip.data.dataset import (
    PairDataset,
    RowFailure,
    explained_worker_death,
    iterate_batches,
)
from easynlp_fashionklip.data.loader import build_loader, worker_count
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.samplers import GlobalBatchSampler, ShardedSequentialSampler
from easynlp_fashionklip.errors import InputError

MakeTable = Callable[..., PairTable]
ROWS = [(f"p{i}", "red.png" if i % 2 else "blue.jpg", f"text {i}") for i in range(12)]


def transform(image: Image.Image, train: bool, rng: np.random.Generator) -> torch.Tensor:
    """Mean colour as a 3 x 2 x 2 picture, with the generator's number as noise while training."""
    mean = torch.from_numpy(np.asarray(image, dtype=np.float32).mean((0, 1)) / 255)
    return mean[:, None, None].expand(3, 2, 2) + (rng.random() if train else 0.0)


def worker_state(image: Image.Image, train: bool, rng: np.random.Generator) -> torch.Tensor:
    """Reports whether SIGINT is ignored and how many threads torch uses."""
    ignored = float(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    return torch.tensor([ignored, float(torch.get_num_threads()), 0.0]).reshape(3, 1, 1)


def tokenize(texts: list[str]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[len(text), int(text.split()[-1])] for text in texts])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def pixel_numbers(dataset: PairDataset, sampler: GlobalBatchSampler, workers: int) -> dict[int, float]:
    batches = build_loader(dataset, sampler, PairCollator(tokenize, dataset.table), workers=workers)
    return {
        int(row): float(pixels[1, 0, 0])
        for batch in iterate_batches(batches)
        for row, pixels in zip(batch["rows"], batch["pixel_values"], strict=True)
    }


def test_a_batch_has_what_a_model_and_the_losses_need(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    dataset = PairDataset(table, transform)
    batch = next(iterate_batches(build_loader(dataset, ShardedSequentialSampler(12, 5), PairCollator(tokenize, table))))
    assert batch["pixel_values"].shape == (5, 3, 2, 2) and batch["pixel_values"].dtype == torch.float32
    assert batch["input_ids"].tolist() == [[6, i] for i in range(5)]
    assert batch["attention_mask"].shape == (5, 2)
    assert batch["rows"].tolist() == list(range(5)) and batch["rows"].dtype == torch.int64
    assert batch["product_keys"].tolist() == table.product_keys[:5].tolist()
    assert batch["text_keys"].tolist() == table.text_keys[:5].tolist()
    assert batch["label_ids"] == []
    assert batch["pixel_values"][1, 0].mean() > 0.99 > 0.01 > batch["pixel_values"][0, 0].mean()


def test_texts_alone_and_pictures_alone(make_table: MakeTable) -> None:
    texts = make_table(ROWS, image=None)
    batch = PairCollator(tokenize, texts)([PairDataset(texts, transform)[0]])
    assert not isinstance(batch, RowFailure)
    assert "pixel_values" not in batch and batch["input_ids"].shape == (1, 2)
    pictures = make_table(ROWS, text=None)
    batch = PairCollator(None, pictures)([PairDataset(pictures, transform)[0]])
    assert not isinstance(batch, RowFailure)
    assert "input_ids" not in batch and batch["pixel_values"].shape == (1, 3, 2, 2)
    unopened = PairDataset(make_table([("p", "none.png", "text 1")]), None)[0]
    assert unopened == {"row": 0, "text": "text 1"}


def test_augmentation_depends_on_seed_epoch_and_row_alone(make_table: MakeTable) -> None:
    dataset = PairDataset(make_table(ROWS), transform, seed=4, train=True)
    alone = pixel_numbers(dataset, GlobalBatchSampler(12, 4, seed=1), 0)
    assert pixel_numbers(dataset, GlobalBatchSampler(12, 3, seed=9), 2) == alone
    split: dict[int, float] = {}
    for rank in range(2):
        split |= pixel_numbers(dataset, GlobalBatchSampler(12, 2, rank, 2), 0)
    assert split == alone and len(set(alone.values())) == 12
    other = PairDataset(dataset.table, transform, seed=5, train=True)
    assert pixel_numbers(other, GlobalBatchSampler(12, 4), 0) != alone


def test_a_new_epoch_reaches_workers_that_live_on(make_table: MakeTable) -> None:
    dataset = PairDataset(make_table(ROWS), transform, train=True)
    sampler = GlobalBatchSampler(12, 4, shuffle=False)
    loader = build_loader(dataset, sampler, PairCollator(tokenize, dataset.table), workers=1)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append(torch.cat([batch["pixel_values"] for batch in iterate_batches(loader)]))
    assert torch.equal(epochs[0], epochs[2]) and not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_picture_is_told_in_its_own_sentence(make_table: MakeTable, workers: int) -> None:
    table = make_table([*ROWS[:5], ("p9", "none.png", "text 9"), *ROWS[5:]])
    loader = build_loader(
        PairDataset(table, transform), ShardedSequentialSampler(13, 4), PairCollator(tokenize, table), workers=workers
    )
    batches = iterate_batches(loader)
    assert next(batches)["rows"].tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError) as caught:
        next(batches)
    message = str(caught.value)
    assert "table.csv, line 7, column 'image', value 'none.png'" in message
    assert "Traceback" not in message and "\n" not in message


def test_programming_errors_are_not_hidden(make_table: MakeTable) -> None:
    def broken(image: Image.Image, train: bool, rng: np.random.Generator) -> torch.Tensor:
        raise RuntimeError("bug")

    table = make_table(ROWS)
    loader = build_loader(
        PairDataset(table, broken), ShardedSequentialSampler(12, 4), PairCollator(tokenize, table), workers=0
    )
    with pytest.raises(RuntimeError, match="bug"):
        next(iterate_batches(loader))


def test_a_dead_worker_is_explained() -> None:
    def batches() -> Iterator[RowFailure]:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error.")
        yield RowFailure("")

    with pytest.raises(InputError, match="Bus error.*data_workers"):
        next(iterate_batches(batches()))


def test_a_worker_that_dies_during_a_step_is_explained_too() -> None:
    with pytest.raises(InputError, match="Terminated.*data_workers"), explained_worker_death():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")
    with pytest.raises(RuntimeError, match="bug"), explained_worker_death():
        raise RuntimeError("bug")


def kills_itself(image: Image.Image, train: bool, rng: np.random.Generator) -> torch.Tensor:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_worker_that_is_killed(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    loader = build_loader(
        PairDataset(table, kills_itself), ShardedSequentialSampler(12, 4), PairCollator(tokenize, table), workers=1
    )
    with pytest.raises(InputError, match="a process that decodes pictures died.*--shm-size"):
        list(iterate_batches(loader))


def bytes_of(image: Image.Image, train: bool, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((4, 4)))).permute(2, 0, 1)


def test_bytes_stay_bytes_and_channels_stay_last(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    dataset = PairDataset(table, bytes_of)
    batch = next(iterate_batches(build_loader(dataset, ShardedSequentialSampler(12, 3), PairCollator(tokenize, table))))
    pixels = batch["pixel_values"]
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 3, 4, 4)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    for place in range(3):
        sample = dataset[place]
        assert not isinstance(sample, RowFailure)
        assert torch.equal(pixels[place], sample["pixel_values"])


def test_workers_leave_ctrl_c_to_the_main_process_and_use_one_thread(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    before = signal.getsignal(signal.SIGINT)
    loader = build_loader(
        PairDataset(table, worker_state), ShardedSequentialSampler(12, 6), PairCollator(tokenize, table), workers=1
    )
    for batch in iterate_batches(loader):
        assert batch["pixel_values"][:, :, 0, 0].unique(dim=0).tolist() == [[1.0, 1.0, 0.0]]
    assert signal.getsignal(signal.SIGINT) is before


def test_loading_leaves_the_global_random_state_alone(make_table: MakeTable) -> None:
    dataset = PairDataset(make_table(ROWS), transform)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    pixel_numbers(dataset, GlobalBatchSampler(12, 4), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_how_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes, expected in ((1, 1, 0), (2, 1, 1), (64, 1, 8), (16, 4, 3), (4, 8, 0)):
        monkeypatch.setattr(loader_module, "available_cores", lambda cores=cores: cores)
        assert worker_count(-1, processes) == expected
    assert worker_count(0) == 0 and worker_count(5) == 5
    with pytest.raises(InputError, match="data_workers=-2"):
        worker_count(-2)
