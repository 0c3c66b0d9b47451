"""What concepts add to texts: the arithmetic, the files, and texts that are searched for concepts."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.encode import encode_texts
from easynlp_fashionklip.models.concept_texts import (
    CONCEPT_TENSORS,
    CONCEPTS,
    ConceptTexts,
    Vocabulary,
    enriched,
    mean_of_concepts,
)
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

spacy = pytest.importorskip("spacy")

# Title Case needs no parse. 2 is below 0 and 1, 3 is below 0.
PHRASES = ["dress", "red dress", "long red dress", "blue dress", "jeans"]
ABOVE = (np.array([0, 0, 1, 3, 4, 4]), np.array([0, 0, 1, 0]))
DIM = 32


@pytest.fixture
def concepts(monkeypatch: pytest.MonkeyPatch) -> ConceptTexts:
    monkeypatch.setattr("easynlp_fashionklip.models.concept_texts.load_spacy", lambda _: spacy.blank("en"))
    made = ConceptTexts(Vocabulary(PHRASES, "en_blank 1"), DIM, 0.5)
    made.set_ancestors(*ABOVE)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made.nodes.copy_(torch.randn(len(PHRASES), DIM, generator=generator) / 4)
    made.set_vectors(made(torch.arange(len(PHRASES)), units(len(PHRASES), 1)))
    return made


def units(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_a_concept_is_its_prompt_its_node_and_the_mean_of_its_ancestors_nodes(concepts: ConceptTexts) -> None:
    prompts, nodes = units(3, 2), concepts.nodes
    got = concepts(torch.tensor([2, 0, 3]), prompts)
    expected = torch.stack(
        [prompts[0] + nodes[2] + (nodes[0] + nodes[1]) / 2, prompts[1] + nodes[0], prompts[2] + nodes[3] + nodes[0]]
    )
    torch.testing.assert_close(got, normalize(expected, dim=-1))
    assert concepts(torch.tensor([], dtype=torch.int64), units(0, 2)).shape == (0, DIM)


def test_ancestors_learn_from_their_descendants(concepts: ConceptTexts) -> None:
    concepts(torch.tensor([2]), units(1, 3)).sum().backward()
    assert concepts.nodes.grad is not None
    assert (concepts.nodes.grad.abs().sum(dim=1) > 0).tolist() == [True, True, True, False, False]


def test_node_gradients_are_those_of_the_plain_formula(concepts: ConceptTexts) -> None:
    prompts, towards = units(2, 4), units(2, 8)
    (concepts(torch.tensor([2, 3]), prompts) * towards).sum().backward()
    nodes = concepts.nodes.detach().clone().requires_grad_()
    plain = [prompts[0] + nodes[2] + (nodes[0] + nodes[1]) / 2, prompts[1] + nodes[3] + nodes[0]]
    sum((normalize(one, dim=0) * to).sum() for one, to in zip(plain, towards, strict=True)).backward()
    torch.testing.assert_close(concepts.nodes.grad, nodes.grad)


def test_a_text_is_itself_and_the_mean_of_its_concepts() -> None:
    texts, embeds = units(3, 5), units(4, 6)
    membership = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    got = enriched(texts, mean_of_concepts(embeds, membership), 0.5)
    expected = torch.stack([texts[0] + 0.25 * (embeds[0] + embeds[2]), texts[1], texts[2] + 0.5 * embeds[1]])
    torch.testing.assert_close(got, normalize(expected, dim=-1))


def test_texts_get_the_concepts_they_mention(concepts: ConceptTexts) -> None:
    plain = load_pretrained("tiny", seed=1)
    texts = ["Red Long Dress", "Lorem", "Jeans", "Red Long Dress"]
    before = encode_texts(plain, texts)
    plain.concepts = concepts
    got = encode_texts(plain, texts)
    offsets, mentioned = concepts.mentions(texts)
    assert [PHRASES[i] for i in mentioned[offsets[2] : offsets[3]]] == ["jeans"]
    assert "long red dress" in [PHRASES[i] for i in mentioned[: offsets[1]]]
    for row in range(len(texts)):
        found = concepts.vectors[mentioned[offsets[row] : offsets[row + 1]]]
        added = 0.5 * found.mean(dim=0) if len(found) else torch.zeros(DIM)
        expected = normalize(torch.from_numpy(before[row]) + added, dim=-1).numpy()
        np.testing.assert_allclose(got[row], expected, atol=1e-6)
    np.testing.assert_array_equal(got[0], got[3])
    np.testing.assert_allclose(got[1], before[1], atol=1e-6)
    assert encode_texts(plain, []).shape == (0, DIM)


def test_concepts_that_training_did_not_use_add_nothing(concepts: ConceptTexts) -> None:
    vectors = concepts.vectors.clone()
    vectors[PHRASES.index("jeans")] = 0
    concepts.set_vectors(vectors)
    texts = units(1, 7).numpy()
    np.testing.assert_allclose(concepts.enrich(texts, concepts.mentions(["Jeans"])), texts, atol=1e-6)


def test_a_folder_keeps_the_concepts(concepts: ConceptTexts, tmp_path: Path) -> None:
    model = load_pretrained("tiny", seed=1)
    model.concepts = concepts
    expected = encode_texts(model, ["Red Dress", "Lorem"])
    model.save_pretrained(tmp_path)
    loaded = load_pretrained(tmp_path)
    assert loaded.concepts is not None
    np.testing.assert_array_equal(encode_texts(loaded, ["Red Dress", "Lorem"]), expected)
    torch.testing.assert_close(loaded.concepts.nodes, concepts.nodes)
    assert (tmp_path / CONCEPT_TENSORS).stat().st_mode == (tmp_path / "config.json").stat().st_mode


def test_a_plain_model_saved_over_another_leaves_no_concepts(concepts: ConceptTexts, tmp_path: Path) -> None:
    model = load_pretrained("tiny", seed=1)
    model.concepts = concepts
    model.save_pretrained(tmp_path)
    model.concepts = None
    model.save_pretrained(tmp_path)
    assert not (tmp_path / CONCEPTS).exists()
    again = load_pretrained(tmp_path)
    assert again.concepts is None
    again.save_pretrained(tmp_path / "again")
    assert load_pretrained(tmp_path / "again").concepts is None


def test_many_texts_get_what_each_would_get_alone(concepts: ConceptTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, embeds = ["Red Dress", "Jeans", "Lorem", "Blue Dress", "Jeans"], units(5, 9).numpy()
    whole = concepts.enrich(embeds, concepts.mentions(texts))
    monkeypatch.setattr("easynlp_fashionklip.models.concept_texts._TEXTS_AT_ONCE", 2)
    np.testing.assert_allclose(concepts.enrich(embeds, concepts.mentions(texts)), whole, atol=1e-7)
    alone = [concepts.enrich(embeds[n : n + 1], concepts.mentions([text])) for n, text in enumerate(texts)]
    np.testing.assert_allclose(np.concatenate(alone), whole, atol=1e-6)


def test_another_pipeline_than_the_graphs_is_told(
    concepts: ConceptTexts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def load(name: str) -> Any:
        asked.append(name)
        return spacy.blank("en")

    monkeypatch.setattr("easynlp_fashionklip.models.concept_texts.load_spacy", load)
    with caplog.at_level("WARNING"):
        concepts.mentions(["Jeans"])
        concepts.read_with("/models/mine")
        concepts.mentions(["Jeans"])
    assert asked == ["en_blank", "/models/mine"]
    assert "were mined with en_blank 1: some may not be found" in caplog.text


def test_copies_and_pickles_have_the_concepts_and_no_parser(concepts: ConceptTexts) -> None:
    concepts.mentions(["Red Dress"])  # which loads the parser
    for other in (copy.deepcopy(concepts), pickle.loads(pickle.dumps(concepts))):
        assert "nlp" not in vars(other.vocabulary)
        assert other.vocabulary.phrases == PHRASES
        torch.testing.assert_close(other.vectors, concepts.vectors)


def test_a_graph_with_other_numbers_starts_from_the_nodes_of_the_same_names(concepts: ConceptTexts) -> None:
    other = ConceptTexts(Vocabulary(["skirt", "jeans", "dress"], "en_blank 1"), DIM, 1.0)
    other.start_from(concepts)
    torch.testing.assert_close(other.nodes, torch.stack([torch.zeros(DIM), concepts.nodes[4], concepts.nodes[0]]))


def _drop_tensors(folder: Path) -> None:
    (folder / CONCEPT_TENSORS).unlink()


def _drop_both(folder: Path) -> None:
    for name in (CONCEPTS, CONCEPT_TENSORS):
        (folder / name).unlink()


def _garble_tensors(folder: Path) -> None:
    (folder / CONCEPT_TENSORS).write_bytes(b"\0" * 100)


def _shorten(folder: Path) -> None:
    content = json.loads((folder / CONCEPTS).read_text())
    (folder / CONCEPTS).write_text(json.dumps({**content, "phrases": content["phrases"][:-1]}))


def _rename_field(folder: Path) -> None:
    (folder / CONCEPTS).write_text('{"format_version": 1, "weight": "much"}')


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (_drop_tensors, "has concepts.json and no concepts.safetensors"),
        (_garble_tensors, "is damaged"),
        (_shorten, "does not fit concepts.json"),
        (_rename_field, "does not describe version 1 concepts"),
        (_drop_both, "lacks concepts.json, without which texts would be embedded otherwise"),
    ],
)
def test_damaged_files_are_told_in_a_sentence(
    concepts: ConceptTexts, tmp_path: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    model = load_pretrained("tiny", seed=1)
    model.concepts = concepts
    model.save_pretrained(tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=sentence):
        DualEncoder.from_pretrained(tmp_path)
