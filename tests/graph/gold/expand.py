"""Write `concepts` and `is_a` of the gold set from the hand-written `phrases` (see README.md).

    python tests/graph/gold/expand.py FILE.jsonl

rewrites the file in place. It shares no code with the package on purpose: it is a second rendering of the definitions.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# Heads that say nothing to the eye alone: phrases only with a modifier.
NEEDING_MODIFIER = """
badge ball band blend bottom case detail elastication fabric fastener fastening fit fly front gather gusset hem hemline
insole leg lining loop neck neckline one-piece opening overlay pad panel patch pattern piece print rise seam set shaft
stitch stitching style tab textile thread tip toe tongue trim tuck two-piece upper waist weave yarn yoke
"""
NO_HEADS = """
design look feel quality comfort collection item product colour shade finish length size side body closure silhouette
"""
NEED_MODIFIER, NEVER_HEAD = frozenset(NEEDING_MODIFIER.split()), frozenset(NO_HEADS.split())
MOST_MODIFIERS = MOST_ATTACHMENTS = 4
MOST_WORDS = 6

Concept = tuple[str, frozenset[str]]  # the head; the modifiers and attachments
Edge = tuple[str, str]  # child, parent

_BASE = re.compile(r"(?:\[[^\[\]]+\] )*[^\[\] ]+")


class Phrase(NamedTuple):
    """A phrase as written: `[m1] [m2] head | in stuff | with part`."""

    head: str
    modifiers: tuple[str, ...]
    attachments: tuple[str, ...]


def parse(line: str) -> Phrase:
    """Read a phrase in notation; ValueError says what is wrong with it."""
    base, *attachments = line.split(" | ")
    if not _BASE.fullmatch(base):
        raise ValueError(f"not '[modifier] ... head' with a head of one word: {line!r}")
    modifiers = tuple(re.findall(r"\[([^\]]+)\]", base))
    head = base.split("] ")[-1]
    if len(modifiers) > MOST_MODIFIERS or len(attachments) > MOST_ATTACHMENTS:
        raise ValueError(f"more than {MOST_MODIFIERS} modifiers or {MOST_ATTACHMENTS} attachments: {line!r}")
    if any(not re.fullmatch(r"(in|with) [^\[\]|]+", attachment) for attachment in attachments):
        raise ValueError(f"an attachment is 'in ...' or 'with ...', without brackets: {line!r}")
    if head in NEVER_HEAD:
        raise ValueError(f"never a head: {line!r}")
    if head in NEED_MODIFIER and not modifiers:
        raise ValueError(f"this head needs a modifier: {line!r}")
    if line != " ".join(line.split()) or line != line.lower():
        raise ValueError(f"upper case or stray spaces: {line!r}")
    if len(set(modifiers)) < len(modifiers) or len(set(attachments)) < len(attachments):
        raise ValueError(f"a modifier or an attachment twice: {line!r}")
    return Phrase(head, modifiers, tuple(attachments))


def concepts_of(phrase: Phrase) -> dict[str, Concept]:
    """Every concept of one phrase, by its text. A head that needs a modifier never stands without one."""
    head, modifiers, attachments = phrase
    parts: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), ())]
    parts += [((modifier,), ()) for modifier in modifiers]
    parts += [((modifier, modifiers[-1]), ()) for modifier in modifiers[:-1]]
    parts += [(modifiers[start:], ()) for start in range(len(modifiers))]
    for attachment in attachments:
        parts.append(((), (attachment,)))
        if attachment.startswith("in ") or len(attachments) == 1:
            parts.append((modifiers, (attachment,)))
    found: dict[str, Concept] = {}
    for before, after in parts:
        if not before and head in NEED_MODIFIER:
            continue
        text = " ".join((*before, head, *after))
        if len(text.split()) <= MOST_WORDS:
            found[text] = (head, frozenset((*before, *after)))
    return found


def nearest_parents(concepts: dict[str, Concept]) -> list[Edge]:
    """(child, parent) of equal heads: the child has all that the parent has and more, with nothing in between."""

    def below(child: Concept, parent: Concept) -> bool:
        return child[0] == parent[0] and child[1] > parent[1]

    edges: list[Edge] = []
    for child, what in concepts.items():
        above = {parent: other for parent, other in concepts.items() if below(what, other)}
        edges += [(child, p) for p, parent in above.items() if not any(below(q, parent) for q in above.values())]
    return sorted(edges)


def expand(phrases: Iterable[str]) -> tuple[list[str], list[Edge]]:
    """The concepts and the is-a relations of one text, both sorted, from its phrases."""
    concepts: dict[str, Concept] = {}
    for line in phrases:
        for text, concept in concepts_of(parse(line)).items():
            concepts.setdefault(text, concept)
    return sorted(concepts), nearest_parents(concepts)


def read(path: Path) -> list[dict[str, Any]]:
    """The texts of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def expanded(row: dict[str, Any]) -> dict[str, Any]:
    """One text with `concepts` and `is_a` written anew."""
    try:
        concepts, is_a = expand(row["phrases"])
    except ValueError as error:
        raise ValueError(f"{row['id']}: {error}") from error
    kept = {key: row[key] for key in ("id", "kind", "text", "phrases")}
    return {**kept, "concepts": concepts, "is_a": [list(edge) for edge in is_a]}


def main(path: Path) -> None:
    """Rewrite a file in place."""
    lines = [json.dumps(expanded(row), ensure_ascii=False) + "\n" for row in read(path)]
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
