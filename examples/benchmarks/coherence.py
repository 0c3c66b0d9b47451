"""Does visual coherence tell phrases that pictures show from those that they do not? AUC over 200 labelled phrases.

    python examples/benchmarks/coherence.py --data hm=HM/train.csv --data myntra=MYNTRA/train.csv

`coherence_labels.json` has 100 phrases of each kind, written down before any score was seen. A product counts for a
phrase when its text has it as whole words (blanks and hyphens alike); a phrase in fewer than 5 products of a shop is
named and left out there. Pictures are embedded with an encoder as it comes, `starter` at 112 px by default: nothing
was trained on the shop. AUC is the chance that a visual phrase has a higher score than another one; `both` pools the
phrases of all shops, each scored in its own. The score was chosen on every other phrase by alphabet (*development*)
and looked at once on the rest (*held out*). Beside it stands the mean pairwise cosine of the centred embeddings.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

from easynlp_fashionklip.app.data import open_pairs
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.graph.coherence import FEWEST, visual_coherence
from easynlp_fashionklip.graph.csr import offsets_of, rows_of
from easynlp_fashionklip.inference.encode import encode_images
from easynlp_fashionklip.models.zoo import load_pretrained

LABELS = Path(__file__).with_name("coherence_labels.json")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4)


def words(text: str) -> str:
    """The words of a text between blanks."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def pictures_of(phrases: list[str], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(offsets, rows) of the texts that have each phrase."""
    found = [[row for row, text in enumerate(texts) if words(phrase) in text] for phrase in phrases]
    return offsets_of(np.array([len(one) for one in found])), np.array([row for one in found for row in one], np.int64)


def mean_cosine(embeds: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean pairwise cosine of the centred embeddings: (|sum|^2 - n) / (n (n - 1))."""
    centred = embeds.astype(np.float64) - embeds.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    total = np.zeros((len(offsets) - 1, embeds.shape[1]))
    np.add.at(total, rows_of(offsets), centred[rows])
    count = np.diff(offsets)
    return ((total**2).sum(axis=1) - count) / np.maximum(1, count * (count - 1))


def auc(score: np.ndarray, visual: np.ndarray) -> float:
    """Chance that a visual phrase's score is higher; equal ones count half."""
    high, low = score[visual][:, None], score[~visual]
    return float(((high > low) + 0.5 * (high == low)).mean()) if high.size and low.size else float("nan")


def measure(name: str, path: Path, phrases: list[str], text: str, model: str, image_size: int) -> np.ndarray:
    """Scores of the phrases in one shop, 2 x phrases: coherence and mean cosine, nan where products are too few."""
    encoder = load_pretrained(model, image_size=image_size)
    table = open_pairs(path, AppConfig(), text=text, image="image")
    offsets, rows = pictures_of(phrases, [words(one) for one in table.texts()])
    embeds = encode_images(encoder, table)
    few = np.diff(offsets) < FEWEST
    rare = [f"{phrase} ({count})" for phrase, count in zip(phrases, np.diff(offsets), strict=True) if count < FEWEST]
    print(f"\n{name}: {len(table):,} products; in fewer than {FEWEST} and left out: {', '.join(rare) or 'none'}")
    scores = np.stack([visual_coherence(embeds, offsets, rows), mean_cosine(embeds, offsets, rows)])
    scores[:, few] = np.nan
    return scores


def table_row(name: str, scores: np.ndarray, visual: np.ndarray, development: np.ndarray) -> str:
    """AUCs of one shop or of all."""
    known = ~np.isnan(scores[0])
    cells = [name, f"{np.count_nonzero(known & visual)} + {np.count_nonzero(known & ~visual)}"]
    for score in scores:
        for part in (development, ~development, np.ones_like(development)):
            cells.append(f"{auc(score[known & part], visual[known & part]):.3f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, metavar="NAME=CSV", help="a shop; may be given again")
    parser.add_argument("--text", default="caption", help="column of the texts")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--image_size", type=int, default=112)
    arguments = parser.parse_args()
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    phrases = labels["visual"] + labels["non_visual"]
    visual = np.arange(len(phrases)) < len(labels["visual"])
    place = {phrase: i for i, phrase in enumerate(sorted(phrases))}
    development = np.array([place[phrase] % 2 == 0 for phrase in phrases])
    shops = {}
    for one in arguments.data:
        name, _, path = one.rpartition("=")
        shops[name or path] = measure(
            name or path, Path(path), phrases, arguments.text, arguments.model, arguments.image_size
        )
    print("\n| shop | phrases | coherence: development | held out | all | cosine: development | held out | all |")
    print("|---|---|---|---|---|---|---|---|")
    for name, scores in shops.items():
        print(table_row(name, scores, visual, development))
    scores = np.concatenate(list(shops.values()), axis=1)
    visual, development = np.tile(visual, len(shops)), np.tile(development, len(shops))
    print(table_row("both", scores, visual, development))
    known = ~np.isnan(scores[0])
    print("\n| threshold | visual phrases below it | other phrases below it |\n|---|---|---|")
    for threshold in THRESHOLDS:
        below = scores[0][known] < threshold
        shares = [f"{below[kind].sum()} of {kind.sum()}" for kind in (visual[known], ~visual[known])]
        print(f"| {threshold} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
