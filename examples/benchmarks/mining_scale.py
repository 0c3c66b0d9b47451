"""Mining a million texts: time, and the peak memory of all processes together.

    python examples/benchmarks/mining_scale.py --texts 1000000 --processes 2

The texts are made up while they are read (`texts.py`), so that no file and no list of them is in memory. The memory is
the sum over this process and its children, sampled twice a second: of the proportional set sizes (pages that they share
counted once) and of the resident set sizes (once for each). How many sentences are distinct is counted at the end, on
the first 100,000 texts.
"""

from __future__ import annotations

import argparse
import threading
import time

import psutil
from texts import made_up
from tqdm import tqdm

from easynlp_fashionklip.graph.engines import LocalEngine
from easynlp_fashionklip.graph.normalise import raw_segments
from easynlp_fashionklip.graph.pipeline import load_spacy


class PeakMemory:
    """Watches memory until `stop`."""

    def __init__(self) -> None:
        self.proportional = self.resident = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.5):
            proportional = resident = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    memory = process.memory_full_info()
                except psutil.Error:  # a worker has just ended
                    continue
                proportional += getattr(memory, "pss", memory.uss)
                resident += memory.rss
            self.proportional = max(self.proportional, proportional)
            self.resident = max(self.resident, resident)

    def stop(self) -> str:
        """The peaks."""
        self._over.set()
        self._thread.join()
        return f"peak {self.proportional / 1e9:.2f} GB proportional, {self.resident / 1e9:.2f} GB resident"


def distinct(texts: int) -> str:
    """How many sentences of the first texts are distinct."""
    sentences = [hash(sentence) for text in made_up(texts) for sentence in raw_segments(text)]
    share = len(set(sentences)) / len(sentences)
    return f"{share:.1%} of the {len(sentences):,} sentences of {texts:,} texts are distinct"


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
    print(f"mined in {seconds:.0f} s ({len(mined) / seconds:,.0f} texts / s), {memory.stop()}")
    print(distinct(min(arguments.texts, 100_000)))


if __name__ == "__main__":
    main()
