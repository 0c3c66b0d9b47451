"""Ranking a FashionGen-sized gallery in both directions, beside the way of FashionKLIP's release.

    python examples/benchmarks/evaluation.py --threads 1
    python examples/benchmarks/evaluation.py --threads 2

Made-up unit vectors: each text is its product's vector plus noise, each picture its own noise around it; pictures of
one product share one text, as in FashionGen's validation set (32,528 pictures of 7,519 products). The release's way,
written here from what its evaluation does: for each query a product with the gallery in blocks of 8,192, a Python
list of (id, score) tuples, a Python sort of all of them, the first ten kept, hits at 1, 5 and 10 looked up in them.
It is run for `--sample` queries of each direction and scaled to all; its hits are compared with ours query by query.
Both sides have the same threads and only their ranking is timed; peak memory is of this whole process while ours
runs.
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from easynlp_fashionklip.evaluation.ranking import ranks_by_key

RELEASE_BLOCK = 8192
RECALL_AT = (1, 5, 10)


def made_up(rows: int, products: int, dim: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, texts (rows x dim, float32 unit vectors) and product keys."""
    random = np.random.default_rng(0)
    product = np.sort(np.concatenate([np.arange(products), random.integers(0, products, rows - products)]))
    centres = random.normal(size=(products, dim))
    texts = (centres + noise * random.normal(size=centres.shape))[product]
    images = centres[product] + noise * random.normal(size=(rows, dim))
    return *(_unit(part) for part in (images, texts)), product


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def release_hits(query: np.ndarray, gallery: np.ndarray, ids: list[int], relevant: set[int]) -> list[bool]:
    """One query as the release asks it: hits at 1, 5, 10."""
    scored: list[tuple[int, float]] = []
    vector = torch.tensor(query[None], dtype=torch.float)
    for start in range(0, len(gallery), RELEASE_BLOCK):
        block = torch.from_numpy(gallery[start : start + RELEASE_BLOCK])
        scores = (vector @ block.t()).squeeze(0).tolist()
        scored.extend(zip(ids[start : start + RELEASE_BLOCK], scores, strict=True))
    first = [one for one, _ in sorted(scored, key=lambda pair: pair[1], reverse=True)[:10]]
    return [any(one in relevant for one in first[:k]) for k in RECALL_AT]


class PeakMemory:
    """Resident memory of this process while a block runs, looked at every 10 ms."""

    def __enter__(self) -> PeakMemory:
        self._running, self.start = True, self._now()
        self.peak = self.start
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    @staticmethod
    def _now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def _watch(self) -> None:
        while self._running:
            self.peak = max(self.peak, self._now())
            time.sleep(0.01)


class Took(NamedTuple):
    """Seconds: on the clock, and of processor time, which other programs on the machine do not lengthen as much."""

    wall: float
    cpu: float


def now() -> Took:
    """The present moment."""
    return Took(time.perf_counter(), time.process_time())


def since(begun: Took) -> Took:
    """What went by."""
    end = now()
    return Took(end.wall - begun.wall, end.cpu - begun.cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32_528)
    parser.add_argument("--products", type=int, default=7_519)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--noise", type=float, default=2.3)
    parser.add_argument("--sample", type=int, default=200, help="queries of each direction for the release's way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of ours; the release's way runs on the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    images, texts, product = made_up(arguments.rows, arguments.products, arguments.dim, arguments.noise)
    device = torch.device(arguments.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{arguments.threads} thread(s)"
    print(f"{arguments.rows:,} x {arguments.rows:,} x {arguments.dim}, both directions, {where}")

    least = Took(float("inf"), float("inf"))
    with PeakMemory() as memory:
        for _ in range(arguments.repeats):
            begun = now()
            ranks = ranks_by_key(images, texts, product, product, device=device)
            least = min(least, since(begun))
    growth, total = (memory.peak - memory.start) / 2**20, memory.peak / 2**20

    ids = list(range(arguments.rows))
    chosen = np.random.default_rng(1).permutation(arguments.rows)[: arguments.sample].tolist()
    members = [set(rows.tolist()) for rows in np.split(np.arange(len(product)), np.flatnonzero(np.diff(product)) + 1)]
    begun, hits = now(), []
    for queries, gallery in ((images, texts), (texts, images)):
        hits += [release_hits(queries[row], gallery, ids, members[product[row]]) for row in chosen]
    release = since(begun)
    ours = [[bool(best[row] <= k) for k in RECALL_AT] for best in ranks for row in chosen]
    agreed = sum(one == other for one, other in zip(ours, hits, strict=True))
    scale = arguments.rows / len(chosen)

    recall = {k: float(np.mean(ranks[0] <= k)) for k in RECALL_AT}
    print("| side | queries | seconds | of processor time | for all |\n|---|---|---|---|---|")
    print(f"| this package | {2 * arguments.rows:,} | {least.wall:.1f} | {least.cpu:.1f} | {least.wall:.1f} s |")
    print(
        f"| the release's way | {len(hits):,} | {release.wall:.1f} | {release.cpu:.1f} | "
        f"{scale * release.wall:,.0f} s (scaled) |"
    )
    print(f"\nratio {scale * release.wall / least.wall:.0f}x (goal: 20x); ", end="")
    print(f"by processor time {scale * release.cpu / least.cpu:.0f}x")
    print(f"peak memory of the process {total / 1024:.2f} GiB (goal: 2), {growth:,.0f} MiB of it while ranking")
    print(f"the same hits at 1, 5 and 10: {agreed:,} of {len(hits):,} queries")
    print("picture to text: " + ", ".join(f"R@{k} {100 * value:.2f}" for k, value in recall.items()))


if __name__ == "__main__":
    main()
