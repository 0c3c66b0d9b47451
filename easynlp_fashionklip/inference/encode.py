"""Batched encoding of texts and catalogues, the same on one process and on many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from easynlp_fashionklip import distributed
from easynlp_fashionklip.data.collate import PairCollator
from easynlp_fashionklip.data.dataset import Batch, PairDataset, iterate_batches
from easynlp_fashionklip.data.loader import build_loader
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.samplers import ShardedSequentialSampler
from easynlp_fashionklip.models.dual_encoder import DualEncoder

BATCH_SIZE = 128


@dataclass(frozen=True)
class TableEmbeddings:
    """Unit vectors of a table's N rows, float32 (N, d); None for what was not asked for."""

    images: np.ndarray | None
    texts: np.ndarray | None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradient inside, the former mode again afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def model_device(model: nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


def encode_texts(
    model: DualEncoder,
    texts: Sequence[str],
    *,
    encode: Callable[[Tensor, Tensor], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
) -> np.ndarray:
    """Embed texts: float32 (N, d) of unit vectors, in the order given.

    Texts are batched by length, so that short ones do not pay for the padding of long ones, and each distinct text
    is encoded once. `encode` says what is computed of token ids and mask (n x L), such as the tower's outputs; None
    takes the unit vectors, with what the concepts that the texts mention add to them, where the model knows concepts.

    Raises:
        InputError: the spaCy pipeline that finds the concepts is not installed.
    """
    concepts = model.concepts if encode is None else None
    encode = encode or model.encode_text
    distinct = list(dict.fromkeys(texts))
    mentions = concepts.mentions(distinct) if concepts is not None and distinct else None
    order = sorted(range(len(distinct)), key=lambda i: (len(distinct[i]), distinct[i]))
    embeds = np.zeros((len(distinct), model.embed_dim), np.float32)
    device = model_device(model)
    with evaluating(model):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            tokens = model.processor.tokenize([distinct[i] for i in chosen])
            encoded = encode(tokens["input_ids"].to(device), tokens["attention_mask"].to(device)).float()
            if embeds.shape[1] != encoded.shape[1]:
                embeds = np.zeros((len(distinct), encoded.shape[1]), np.float32)
            embeds[chosen] = encoded.cpu().numpy()
    if concepts is not None and mentions is not None:
        embeds = concepts.enrich(embeds, mentions)
    place = {text: i for i, text in enumerate(distinct)}
    return embeds[[place[text] for text in texts]]


def encode_texts_to(
    store: Callable[[Tensor, Tensor], None],
    model: DualEncoder,
    count: int,
    text_of: Callable[[int], str],
    *,
    encode: Callable[[Tensor, Tensor], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
    description: str = "encoding texts",
) -> None:
    """Embed many texts on all processes together, handing them out a batch at a time, as `encode_images_to`.

    The batches, texts of alike lengths, are the same whatever the number of processes, so that each text's outcome is
    the same bit for bit.

    Args:
        store: called on every process with numbers of texts (int64, n) and what was computed (float32, n rows).
        model: the encoder, on its device.
        count: how many texts.
        text_of: text number i, 0 to count - 1.
        encode: what is computed of token ids and mask (n x L); None takes the unit vectors.
        batch_size: texts at a time.
        description: what the bar says.
    """
    lengths = np.array([len(text_of(number)) for number in range(count)], dtype=np.int64)
    batches = torch.from_numpy(np.argsort(lengths, kind="stable")).split(batch_size) if count else ()
    rank, world, device = distributed.rank(), distributed.world_size(), model_device(model)

    def encoded(numbers: Tensor) -> tuple[Tensor, Tensor]:
        tokens = model.processor.tokenize([text_of(number) for number in numbers.tolist()])
        found = (encode or model.encode_text)(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))
        return numbers, found.float().cpu()

    with evaluating(model), tqdm(total=count, desc=description, unit="text", disable=True if rank else None) as bar:
        for start in range(0, len(batches), world):
            own = encoded(batches[start + rank]) if start + rank < len(batches) else None
            for part in distributed.gather_objects(own):
                if part is not None:
                    store(*part)
                    bar.update(len(part[0]))


def encode_images(
    model: DualEncoder,
    table: PairTable,
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = -1,
    description: str = "encoding pictures",
    progress: bool | None = None,
) -> np.ndarray:
    """Embed the pictures of a table: float32 (N, d) of unit vectors, on every process; see `encode_images_to`."""
    embeds = np.zeros((len(table), model.embed_dim), np.float32)

    def store(rows: Tensor, part: Tensor) -> None:
        embeds[rows.numpy()] = part.numpy()

    encode_images_to(
        store, model, table, batch_size=batch_size, workers=workers, description=description, progress=progress
    )
    return embeds


def encode_images_to(
    store: Callable[[Tensor, Tensor], None],
    model: DualEncoder,
    table: PairTable,
    *,
    encode: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = BATCH_SIZE,
    workers: int = -1,
    description: str = "encoding pictures",
    progress: bool | None = None,
) -> None:
    """Embed the pictures of a table, handing them out a batch at a time: memory does not grow with the table.

    Each process encodes one contiguous share. A bar with rate and time left is shown by the first process.

    Args:
        store: called on every process with rows (int64, n) and their unit vectors (float32, n x d) on the CPU, in no
            particular order, until every row has come once.
        model: the encoder, on its device.
        table: pairs with a picture column.
        encode: what is computed of pixel values (n x 3 x H x W); None takes the unit vectors.
        batch_size: pictures at a time on each process.
        workers: processes that decode, -1 to choose by cores.
        description: what the bar says.
        progress: None shows the bar when stderr is a terminal.

    Raises:
        InputError: a picture cannot be read.
    """
    rank, world = distributed.rank(), distributed.world_size()
    samplers = [ShardedSequentialSampler(len(table), batch_size, number, world) for number in range(world)]
    dataset = PairDataset(table, model.processor.pixels, near=model.processor.image_size)
    loader = build_loader(
        dataset, samplers[rank], PairCollator(None, table), workers=workers, processes=distributed.processes_here()
    )
    hidden = True if rank else (None if progress is None else not progress)
    batches = iterate_batches(loader)
    with evaluating(model), tqdm(total=len(table), desc=description, unit="picture", disable=hidden) as bar:
        for _ in range(max(map(len, samplers))):  # shares may differ by one row, and so by a batch
            batch = next(batches, None)
            for part in distributed.gather_objects(None if batch is None else _encoded(encode, model, batch)):
                if part is not None:
                    store(*part)
                    bar.update(len(part[0]))


def _encoded(encode: Callable[[Tensor], Tensor] | None, model: DualEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
    embeds = (encode or model.encode_image)(batch["pixel_values"].to(model_device(model), non_blocking=True))
    return batch["rows"], embeds.float().cpu()


def encode_table(
    model: DualEncoder,
    table: PairTable,
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = -1,
    description: str = "encoding",
    progress: bool | None = None,
) -> TableEmbeddings:
    """Embed whatever columns the table has; arguments as in `encode_images`."""
    images = texts = None
    if table.image_column is not None:
        images = encode_images(
            model, table, batch_size=batch_size, workers=workers, description=description, progress=progress
        )
    if table.text_column is not None:
        texts = encode_texts(model, list(table.texts()), batch_size=batch_size)
    return TableEmbeddings(images, texts)
