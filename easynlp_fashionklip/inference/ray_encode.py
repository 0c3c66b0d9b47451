"""Embedding a catalogue's pictures on a Ray cluster; the nodes need the catalogue at the same path."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from easynlp_fashionklip.data.dataset import PairDataset, RowFailure
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.engines.ray_cluster import cluster, cores, import_ray, quiet, told
from easynlp_fashionklip.inference.encode import BATCH_SIZE, evaluating, model_device
from easynlp_fashionklip.models.dual_encoder import DualEncoder


def encode_images_on_ray(
    model: DualEncoder,
    table: PairTable,
    *,
    address: str = "",
    actors: int = 0,
    batch_size: int = BATCH_SIZE,
    description: str = "encoding pictures",
    progress: bool | None = None,
) -> np.ndarray:
    """Embed the pictures of a table: float32 (N, d) of unit vectors, as `encode.encode_images` gives them.

    The batches are those of `encode_images` in one process. A library that divides a product among several threads
    may round otherwise; nothing else differs.

    Args:
        model: the encoder; each actor gets a copy.
        table: pairs with a picture column.
        address: of a running cluster; '' starts one on this machine.
        actors: processes that encode, with a GPU each when the cluster has some; 0 takes all GPUs, or else all CPUs.
        batch_size: pictures at a time on each actor.
        description: what the bar says.
        progress: None shows the bar when stderr is a terminal.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached, or a picture cannot be read there.
    """
    embeds = np.zeros((len(table), model.embed_dim), np.float32)
    hidden = None if progress is None else not progress
    bar = tqdm(total=len(table), desc=description, unit="picture", disable=hidden)
    with bar, cluster(address) as ray, told(ray):
        for row in _dataset(ray, model, table, actors, batch_size).iter_rows():
            if row["failure"]:
                raise InputError(row["failure"])
            part = np.frombuffer(row["embeds"], dtype=np.float32).reshape(-1, model.embed_dim)
            embeds[row["start"] : row["start"] + len(part)] = part
            bar.update(len(part))
    return embeds


def _dataset(ray: Any, model: DualEncoder, table: PairTable, actors: int, batch_size: int) -> Any:
    """A Ray Dataset with the embeddings of one batch in each row."""
    quiet(ray)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    starts = [{"start": start} for start in range(0, len(table), batch_size)]
    size = min(actors or gpus or cores(ray), max(1, len(starts)))
    return ray.data.from_items(starts, override_num_blocks=max(1, len(starts))).map_batches(
        PictureActor,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
        fn_constructor_args=([ray.put(copy.deepcopy(model).to("cpu")), ray.put(table)], batch_size),
    )


class PictureActor:
    """One process of the cluster with a copy of the encoder."""

    def __init__(self, references: list[Any], batch_size: int) -> None:
        """Args: references: to the encoder and the table, in a list so that Ray hands them on as they are."""
        self._model, self._table = import_ray().get(references)
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._batch_size = batch_size
        transform, near = self._model.processor.transform, self._model.processor.image_size
        self._dataset = PairDataset(self._table, transform, near=near)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Embed the pictures of the batches that begin at these rows."""
        starts = [int(start) for start in batch["start"]]
        try:
            return {"start": starts, "embeds": [self._embed(start) for start in starts], "failure": [""] * len(starts)}
        except InputError as error:  # Ray would hand on that something failed, but not what
            return {"start": starts, "embeds": [b""] * len(starts), "failure": [str(error)] * len(starts)}

    def _embed(self, start: int) -> bytes:
        stop = min(start + self._batch_size, len(self._table))
        pixels = torch.stack([self._picture(row) for row in range(start, stop)])
        with evaluating(self._model):
            return self._model.encode_image(pixels.to(model_device(self._model))).float().cpu().numpy().tobytes()

    def _picture(self, row: int) -> torch.Tensor:
        sample = self._dataset[row]
        if isinstance(sample, RowFailure):
            raise InputError(sample.message)
        pixels: torch.Tensor = sample["pixel_values"]
        return pixels
