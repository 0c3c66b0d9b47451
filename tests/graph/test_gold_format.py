"""The gold set is well formed and in step with its expander."""

import importlib.util
import json
from pathlib import Path

import pytest

GOLD = Path(__file__).parent / "gold"
FILES = [path for path in (GOLD / "development.jsonl", GOLD / "held_out.jsonl") if path.exists()]

_spec = importlib.util.spec_from_file_location("gold_expand", GOLD / "expand.py")
gold = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gold)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_in_step_with_the_expander(path):
    for row in gold.read(path):
        assert list(row) == ["id", "kind", "text", "phrases", "concepts", "is_a"], row["id"]
        assert row == gold.expanded(row), row["id"]
        assert len(set(row["phrases"])) == len(row["phrases"]), row["id"]


def test_ids_and_texts_are_unique():
    rows = [row for path in FILES for row in gold.read(path)]
    for key in ("id", "text"):
        values = [row[key] for row in rows]
        assert len(set(values)) == len(values)


def test_what_an_attachment_names_is_a_phrase_too():
    """Or its head is one: a colour ("in black") is the exception."""
    for path in FILES:
        for row in gold.read(path):
            phrases = [gold.parse(line) for line in row["phrases"]]
            heads = {phrase.head for phrase in phrases}
            for phrase in phrases:
                for attachment in phrase.attachments:
                    if attachment.startswith("with "):
                        assert attachment.split()[-1] in heads, (row["id"], attachment)


def test_the_expansion_of_the_guide():
    concepts, is_a = gold.expand(["[men's] [slim fit] shirt | in cotton | with button-down collar", "cotton"])
    assert concepts == [
        "cotton",
        "men's shirt",
        "men's slim fit shirt",
        "men's slim fit shirt in cotton",
        "shirt",
        "shirt in cotton",
        "shirt with button-down collar",
        "slim fit shirt",
    ]
    assert ("men's slim fit shirt in cotton", "men's slim fit shirt") in is_a
    assert ("men's slim fit shirt in cotton", "shirt in cotton") in is_a
    assert ("men's slim fit shirt in cotton", "shirt") not in is_a
    assert ("shirt in cotton", "shirt") in is_a


def test_a_head_that_needs_a_modifier_never_stands_alone():
    assert gold.expand(["[leather] panel | in black"])[0] == ["leather panel", "leather panel in black"]
    for line in ("panel", "design", "[red] two words", "shirt | of cotton", "[a] [b] [c] [d] [e] shirt", "shirt |in x"):
        with pytest.raises(ValueError):
            gold.parse(line)


def test_main_rewrites_in_place(tmp_path):
    path = tmp_path / "some.jsonl"
    row = {"id": "x-1", "kind": "title", "text": "Grey Hat", "phrases": ["[grey] hat"]}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    gold.main(path)
    assert gold.read(path) == [{**row, "concepts": ["grey hat", "hat"], "is_a": [["grey hat", "hat"]]}]
