"""Mining on a Ray cluster: the same chunks as on one machine, read by a pool of actors."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from easynlp_fashionklip.graph.engines.base import Engine
from easynlp_fashionklip.graph.engines.chunk import MinedChunk, SegmentMiner
from easynlp_fashionklip.graph.engines.ray_cluster import cluster, cores, import_ray, quiet, told
from easynlp_fashionklip.graph.pipeline import PortablePipeline

if TYPE_CHECKING:
    from collections.abc import Generator

    from spacy.language import Language

_CHUNKS_PER_ACTOR = 64
_MOST_CHUNKS = 1024


class RayEngine(Engine):
    """Mines on a cluster; this process cuts texts into segments and joins what comes back.

    Segments travel as a Ray Dataset of up to 1024 chunks (some million distinct segments) at a time, so that
    neither this process nor the object store holds a catalogue.
    """

    def __init__(self, nlp: Language | None, address: str = "", actors: int = 0) -> None:
        """Choose.

        Args:
            nlp: pipeline from `load_spacy`, sent to the nodes with its weights; None reads everything as titles.
            address: of a running cluster, see `ray_cluster.cluster`; '' starts one on this machine.
            actors: processes that mine; 0 takes the cluster's CPUs.

        Raises:
            InputError: Ray is not installed.
        """
        import_ray()
        self._nlp = nlp
        self._address = address
        self._actors = actors

    def _mined(self, chunks: Iterator[list[str]]) -> Generator[MinedChunk, None, None]:
        with cluster(self._address) as ray, told(ray):
            actors = self._actors or cores(ray)
            pipeline = ray.put(None if self._nlp is None else PortablePipeline.of(self._nlp))
            while window := list(islice(chunks, min(_CHUNKS_PER_ACTOR * actors, _MOST_CHUNKS))):
                yield from _in_order(_dataset(ray, window, min(actors, len(window)), pipeline))


def _dataset(ray: Any, window: list[list[str]], actors: int, pipeline: Any) -> Any:
    """A Ray Dataset of the mined chunks; pickled, as neither lone surrogates nor nested records fit Arrow's text."""
    quiet(ray)
    rows = [{"chunk": number, "segments": pickle.dumps(chunk)} for number, chunk in enumerate(window)]
    return ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        ChunkActor,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        fn_constructor_args=([pipeline],),
    )


def _in_order(dataset: Any) -> Iterator[MinedChunk]:
    """Chunks by number, though they come as they are finished."""
    early: dict[int, bytes] = {}
    expected = 0
    for row in dataset.iter_rows():
        early[int(row["chunk"])] = row["mined"]
        while expected in early:
            yield pickle.loads(early.pop(expected))
            expected += 1


class ChunkActor:
    """One process of the cluster; loads the pipeline once."""

    def __init__(self, pipeline: list[Any]) -> None:
        """Args: pipeline: reference to the `PortablePipeline`, in a list so that Ray hands it on as it is."""
        portable = import_ray().get(pipeline[0])
        self._miner = SegmentMiner(None if portable is None else portable.load())

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Mine the chunks of a batch."""
        mined = [pickle.dumps(self._miner.mine(pickle.loads(chunk))) for chunk in batch["segments"]]
        return {"chunk": batch["chunk"], "mined": mined}
