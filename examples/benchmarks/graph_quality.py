"""How well mined concepts cover a shop's own labels, and what the commonest concepts are.

    python examples/benchmarks/graph_quality.py --hm DIR/hm/train.csv --myntra DIR/myntra/train.csv --commonest 300

For each product whose text names the label at all (its words stand in the text, singular or plural), is the label among
the text's concepts? Type: `category`; colour + type: a `colour` the text names beside a type it names; attribute + type
(Myntra): sleeve length, neck, collar, pattern or fabric likewise. Word order and `in` are style: `t-shirt in white` is
`white t-shirt`. Labels are never used to mine.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from easynlp_fashionklip.graph.mining import mine
from easynlp_fashionklip.graph.normalise import clean_text, head_form, tokenise, unify_spelling
from easynlp_fashionklip.graph.pipeline import load_spacy

NO_TYPES = {"unknown", "other", "accessory", "gift", "set"}
ATTRIBUTES = ("Sleeve Length", "Neck", "Collar", "Pattern", "Fabric", "Material")
NO_ATTRIBUTES = {"other", "solid", "na", "self design", "blended"}
Words = tuple[str, ...]


def words_of(text: str) -> Words:
    """Normal spelling, lower case, every word singular."""
    return tuple(head_form(word) for word in tokenise(unify_spelling(clean_text(text))) if word[0].isalnum())


def labels(label: str) -> list[Words]:
    """`Leggings/Tights` names two things, `Necklace and Chains` too."""
    parts = label.replace(" and ", "/").split("/")
    return [words for part in parts if (words := words_of(part)) and not NO_TYPES & set(words)]


def names(text: Words, label: Words) -> bool:
    """Whether the words of a label stand together in a text."""
    return any(text[i : i + len(label)] == label for i in range(len(text) - len(label) + 1))


def wanted(row: dict[str, str], text: Words) -> Iterator[tuple[str, Words, Words]]:
    """(kind, modifier, type) of every label that the text names."""
    types = [one for one in labels(row["category"]) if names(text, one)]
    colours = [one for one in [words_of(row["colour"])] if one and names(text, one)]
    attributes = json.loads(row.get("attributes") or "{}")
    values = {attributes[key].lower() for key in ATTRIBUTES if key in attributes} - NO_ATTRIBUTES
    named = [words for value in sorted(values) if (words := words_of(value)) and names(text, words)]
    for one in types:
        yield "type", (), one
        yield from (("colour + type", colour, one) for colour in colours)
        yield from (("attribute + type", value, one) for value in named)


def score(rows: list[dict[str, str]], column: str, show: int) -> None:
    """Print recall by kind, and the labels missed most."""
    mined = mine((row[column] for row in rows), load_spacy())
    found: Counter[str] = Counter()
    named: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    example: dict[str, str] = {}
    for i, row in enumerate(rows):
        have = {
            frozenset(head_form(w) for w in phrase.split() if w not in ("in", "with")) for phrase in mined.mentions(i)
        }
        for kind, modifier, one in dict.fromkeys(wanted(row, words_of(row[column]))):
            named[kind] += 1
            if frozenset((*modifier, *one)) in have:
                found[kind] += 1
            else:
                label = f"{kind}: {' '.join((*modifier, *one))}"
                missed[label] += 1
                example.setdefault(label, f"{row[column][:160]!r} -> {mined.mentions(i)}")
    for kind, count in named.items():
        share = 100 * found[kind] / count
        print(f"{kind:17} {share:5.1f} %  ({found[kind]:,} of {count:,}; {len(rows):,} products)")
    print(f"concepts a product {len(mined.phrase_index) / len(mined):.1f}")
    for label, count in missed.most_common(show):
        print(f"    missed {count:4}  {label}   e.g. {example[label]}")


def commonest(rows: list[str], count: int) -> None:
    """Print the commonest concepts."""
    mined = mine(rows, load_spacy())
    frequency = Counter(mined.phrase_index.tolist())
    print(f"\nthe {count} commonest concepts:")
    print(", ".join(f"{mined.phrases[phrase]} {times}" for phrase, times in frequency.most_common(count)))


def main() -> None:
    """Score each shop, then list the commonest concepts over all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hm", type=Path)
    parser.add_argument("--myntra", type=Path)
    parser.add_argument("--column", default="caption")
    parser.add_argument("--missed", type=int, default=0, help="how many missed labels to list")
    parser.add_argument("--commonest", type=int, default=0, help="how many of the commonest concepts to list")
    options = parser.parse_args()
    texts: list[str] = []
    for shop, path in (("H&M", options.hm), ("Myntra", options.myntra)):
        if path:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            print(f"\n{shop}")
            score(rows, options.column, options.missed)
            texts += [row[options.column] for row in rows]
    if options.commonest:
        commonest(texts, options.commonest)


if __name__ == "__main__":
    main()
