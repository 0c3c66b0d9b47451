"""Mining a million texts: time, and the peak memory of all processes together.

    python examples/benchmarks/mining_scale.py --texts 1000000 --processes 2

The texts are made up while they are read (`texts.py`), so that no file and no list of them is in memory. The memory is
the sum of the resident set sizes of this process and its children, sampled five times a second; pages that they share
are counted once for each.
"""

from __future__ import annotations

import argparse
import threading
import time

import psutil
from texts import made_up
from tqdm import tqdm

from easynlp_fashionklip.graph.engines import LocalEngine
from easynlp_fashionklip.graph.pipeline import load_spacy


class PeakMemory:
    """Watches memory until `stop`."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)

    def stop(self) -> float:
        """The peak in GB."""
        self._over.set()
        self._thread.join()
        return self.peak / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    nlp, memory, start = load_spacy(), PeakMemory(), time.perf_counter()
    with tqdm(total=arguments.texts, unit="text", mininterval=10) as bar:
        engine = LocalEngine(nlp, arguments.processes)
        mined = engine.mine(made_up(arguments.texts), bar.update)
    seconds = time.perf_counter() - start
    print(f"\n{len(mined):,} texts, {len(mined.phrases):,} phrases, {len(mined.phrase_index):,} mentions")
    print(f"mined in {seconds:.0f} s ({len(mined) / seconds:,.0f} texts / s), peak {memory.stop():.2f} GB")


if __name__ == "__main__":
    main()
