"""Score mining against the gold set.

    python tests/graph/gold/score.py tests/graph/gold/development.jsonl --errors
    python tests/graph/gold/score.py tests/graph/gold/held_out.jsonl

Concepts are compared as sets of words. Edges are scored twice: all of them, where a missed concept costs its edges too,
and those between concepts that gold and mining share (is the order right, given the concepts?).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from spacy.language import Language

from easynlp_fashionklip.graph.hierarchy import build_hierarchy
from easynlp_fashionklip.graph.mining import mine
from easynlp_fashionklip.graph.pipeline import load_spacy

Words = frozenset[str]
Edge = tuple[Words, Words]


@dataclass
class Counts:
    """Hits, wanted and found, summed over texts."""

    hits: int = 0
    wanted: int = 0
    found: int = 0

    def add(self, wanted: Iterable[object], found: Iterable[object]) -> None:
        """Count one text."""
        gold, mined = set(wanted), set(found)
        self.hits += len(gold & mined)
        self.wanted += len(gold)
        self.found += len(mined)

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return self.hits / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Share of what is right that was found."""
        return self.hits / max(self.wanted, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / max(self.wanted + self.found, 1)

    def __str__(self) -> str:
        return f"precision {self.precision:.3f}  recall {self.recall:.3f}  F1 {self.f1:.3f}  ({self.wanted} wanted)"


@dataclass
class Scores:
    """Concepts, all edges, edges between shared concepts; errors by text for the development half."""

    concepts: Counts = field(default_factory=Counts)
    edges: Counts = field(default_factory=Counts)
    shared_edges: Counts = field(default_factory=Counts)
    by_kind: dict[str, Counts] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def words(phrase: str) -> Words:
    """A phrase without its order."""
    return frozenset(phrase.split())


def score(path: Path, nlp: Language) -> Scores:
    """Mine every text of a gold file on its own and compare."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    mined = mine((row["text"] for row in rows), nlp)
    scores = Scores()
    for i, row in enumerate(rows):
        ids = mined.phrase_index[mined.offsets[i] : mined.offsets[i + 1]].tolist()
        phrases = [mined.phrases[p] for p in ids]
        tree = build_hierarchy(
            phrases, [mined.heads[p] for p in ids], [mined.modifiers[p] for p in ids], [1] * len(ids)
        )
        found = {words(phrase) for phrase in phrases}
        wanted = {words(phrase) for phrase in row["concepts"]}
        pairs = zip(tree.child.tolist(), tree.parent.tolist(), strict=True)
        edges = {(words(phrases[child]), words(phrases[parent])) for child, parent in pairs}
        gold_edges = {(words(child), words(parent)) for child, parent in row["is_a"]}
        shared = found & wanted
        scores.concepts.add(wanted, found)
        scores.by_kind.setdefault(row["kind"], Counts()).add(wanted, found)
        scores.edges.add(gold_edges, edges)
        scores.shared_edges.add(*({one for one in two if shared.issuperset(one)} for two in (gold_edges, edges)))
        if found != wanted:
            missed, extra = (sorted(" ".join(sorted(w)) for w in part) for part in (wanted - found, found - wanted))
            scores.errors.append(
                f"{row['id']} {row['text']}\n    gold   {'; '.join(row['phrases'])}"
                f"\n    missed {'; '.join(missed)}\n    extra  {'; '.join(extra)}"
            )
    return scores


def main() -> None:
    """Print the scores of gold files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument(
        "--errors", action="store_true", help="list every text with an error (not for the held-out half)"
    )
    options = parser.parse_args()
    nlp = load_spacy()
    for path in options.files:
        scores = score(path, nlp)
        if options.errors:
            print("\n".join(scores.errors))
            for kind, counts in sorted(scores.by_kind.items(), key=lambda item: item[1].f1):
                print(f"{kind:16} {counts}")
        print(f"{path.name}\n  concepts      {scores.concepts}\n  edges         {scores.edges}")
        print(f"  edges, shared {scores.shared_edges}")


if __name__ == "__main__":
    main()
