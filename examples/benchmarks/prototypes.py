"""Choosing prototypes: this package's batches against FAISS's flat index and one MMR call a concept.

    pip install 'easynlp-fashionklip[benchmarks]' && pip install --no-deps keybert
    python examples/benchmarks/prototypes.py --concepts 10000 --images 50000 --dim 256

The other way is that of FashionKLIP's release: FAISS finds the 20 nearest pictures of each prompt, then a function on
scikit-learn's `cosine_similarity` (here keybert's `mmr` itself) chooses 10, a concept at a time. Both get the same unit
vectors, 300 clusters with noise, and as many threads. For the scope `mentions` the other way is a matrix-vector product
and a sort a concept, because an index of all pictures cannot serve it. Each time is the least of `--repeats`, the two
ways taking turns; memory is the growth of the process's peak while prototypes are chosen.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import faiss
import numpy as np
import torch

from easynlp_fashionklip.graph.csr import offsets_of
from easynlp_fashionklip.graph.nearest import Candidates, nearest
from easynlp_fashionklip.graph.prototypes import PrototypeTable, _join, _thin, select_prototypes

TOP, KEPT, DIVERSITY = 20, 10, 0.8
NO_DUPLICATES = 1.0  # the other way does not look for them
Csr = tuple[np.ndarray, np.ndarray]
Mmr = Callable[..., list[tuple[int, float]]]


def keybert_mmr() -> Mmr:
    """keybert's function, without importing keybert, which needs sentence-transformers."""
    package = importlib.util.find_spec("keybert")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("keybert is missing; install it: pip install --no-deps keybert")
    path = Path(package.submodule_search_locations[0]) / "_mmr.py"
    spec = importlib.util.spec_from_file_location("keybert_mmr", path)
    assert spec is not None and spec.loader is not None
    module = ModuleType("keybert_mmr")
    spec.loader.exec_module(module)
    return module.mmr


def unit_vectors(count: int, centres: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Centres with noise, float32 (count, d)."""
    dim = centres.shape[1]
    made = np.empty((count, dim), np.float32)
    for start in range(0, count, 4096):
        part = made[start : start + 4096]
        part[:] = centres[rng.integers(len(centres), size=len(part))]
        part += noise / np.sqrt(dim) * rng.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return made


def mentions(concepts: int, images: int, rng: np.random.Generator) -> Csr:
    """Candidates as in a shop: the r-th commonest concept is in images / (3 + r / 3) pictures, at least 2."""
    counts = np.maximum(2, images / (3 + np.arange(concepts) / 3)).astype(np.int64)
    rng.shuffle(counts)
    rows = [np.sort(rng.choice(images, size=count, replace=False)) for count in counts]
    return offsets_of(counts), np.concatenate(rows).astype(np.int32)


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """(seconds, result)."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def peak_growth(function: Callable[[], object]) -> float:
    """By how many MiB a call raises the resident peak above what is resident before it."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts again from here
    before = memory("VmRSS")
    function()
    return memory("VmHWM") - before


def memory(key: str) -> float:
    """A line of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def other_nearest(prompts: np.ndarray, images: np.ndarray, candidates: Csr | None) -> list[np.ndarray]:
    """Rows of the nearest candidates of each prompt."""
    if candidates is None:
        index = faiss.IndexFlatIP(images.shape[1])
        index.add(images)
        return list(index.search(prompts, TOP)[1])
    found = []
    for concept, prompt in enumerate(prompts):
        rows = candidates[1][candidates[0][concept] : candidates[0][concept + 1]]
        found.append(rows[np.argsort(-(images[rows] @ prompt), kind="stable")[:TOP]])
    return found


def other_mmr(mmr: Mmr, prompts: np.ndarray, images: np.ndarray, found: list[np.ndarray]) -> list[set[int]]:
    """Chosen rows of each concept."""
    return [
        {row for row, _ in mmr(prompt[None], images[rows], rows.tolist(), KEPT, DIVERSITY)}
        for prompt, rows in zip(prompts, found, strict=True)
    ]


def agreement(table: PrototypeTable, other: list[set[int]]) -> str:
    """How many concepts got the same pictures."""
    starts = np.searchsorted(table.concept, np.arange(len(other) + 1))
    same = sum(set(table.image[a:b].tolist()) == rows for a, b, rows in zip(starts, starts[1:], other, strict=False))
    return f"{same:,} of {len(other):,}"


def compare(scope: str, prompts: np.ndarray, images: np.ndarray, candidates: Csr | None, repeats: int) -> str:
    """One row of the table."""
    mmr, tensors = keybert_mmr(), (torch.from_numpy(prompts), torch.from_numpy(images))
    among = None if candidates is None else Candidates(*candidates)

    def choose() -> PrototypeTable:
        return select_prototypes(prompts, images, candidates, TOP, KEPT, DIVERSITY, NO_DUPLICATES)

    growth = peak_growth(choose)
    best: dict[str, float] = {}
    for _ in range(repeats):
        nearest_seconds, pool = timed(lambda: nearest(*tensors, among, TOP))
        mmr_seconds, _ = timed(lambda pool=pool: _join(_thin(*pool, tensors[1], KEPT, DIVERSITY, NO_DUPLICATES)))
        whole_seconds, table = timed(choose)
        other_nearest_seconds, found = timed(lambda: other_nearest(prompts, images, candidates))
        other_mmr_seconds, other = timed(lambda found=found: other_mmr(mmr, prompts, images, found))
        seconds = {
            "nearest": nearest_seconds,
            "mmr": mmr_seconds,
            "whole": whole_seconds,
            "other nearest": other_nearest_seconds,
            "other mmr": other_mmr_seconds,
            "other whole": other_nearest_seconds + other_mmr_seconds,
        }
        best = {name: min(value, best.get(name, value)) for name, value in seconds.items()}
    cells = [scope]
    for part in ("nearest", "mmr", "whole"):
        cells.append(f"{best[part]:.2f} / {best[f'other {part}']:.2f} = {best[f'other {part}'] / best[part]:.1f}x")
    return "| " + " | ".join([*cells, f"{growth:.0f} MiB", agreement(table, other)]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concepts", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    faiss.omp_set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    centres = unit_vectors(300, np.zeros((1, arguments.dim), np.float32), 1.0, rng)
    images = unit_vectors(arguments.images, centres, 1.0, rng)
    prompts = unit_vectors(arguments.concepts, centres, 1.0, rng)
    print(f"{len(prompts):,} concepts, {len(images):,} images, {arguments.dim} dimensions, {arguments.threads} threads")
    print(
        "| scope | nearest 20: s, here / other | MMR: s, here / other | both: s, here / other | peak growth | agree |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    for scope in ("paper", "mentions"):
        candidates = None if scope == "paper" else mentions(len(prompts), len(images), rng)
        print(compare(scope, prompts, images, candidates, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
