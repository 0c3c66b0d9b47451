"""Trees hold every text, share what texts begin with, and let a token see its own text's beginning alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from easynlp_fashionklip.models.backends import base
from easynlp_fashionklip.models.backends.prefix_tree import prefix_trees
from easynlp_fashionklip.models.dual_encoder import DualEncoder


def padded(texts: list[list[int]]) -> tuple[Tensor, Tensor]:
    longest = max(len(text) for text in texts)
    ids = torch.tensor([text + [99] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    return ids, mask


def random_texts(seed: int) -> list[list[int]]:
    """From a small alphabet, so that beginnings are shared; texts within texts, and the same text twice."""
    rng = np.random.default_rng(seed)
    texts = [[7, *rng.integers(0, 3, rng.integers(0, 6)).tolist(), 9] for _ in range(30)]
    return [*texts, texts[3], [7]]


@pytest.mark.parametrize("most_nodes", [1, 8, 20, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_each_text_is_read_back_from_its_last_token(most_nodes: int, seed: int) -> None:
    texts = random_texts(seed)
    trees = prefix_trees(*padded(texts), most_nodes)
    for text, tree, place in zip(texts, trees.tree.tolist(), trees.place.tolist(), strict=True):
        seen = trees.attends[tree, place].nonzero().flatten()
        assert trees.positions[tree, seen].tolist() == list(range(len(text)))
        assert trees.tokens[tree, seen].tolist() == text
        for step, node in enumerate(seen.tolist()):  # and every token of it sees what comes before
            assert trees.attends[tree, node].nonzero().flatten().tolist() == seen[: step + 1].tolist()
    assert trees.tokens.shape[1] <= max(most_nodes, *(len(text) for text in texts))


def test_a_beginning_is_there_once() -> None:
    texts = random_texts(0)
    trees = prefix_trees(*padded(texts), 1000)
    beginnings = {tuple(text[:stop]) for text in texts for stop in range(1, len(text) + 1)}
    assert trees.tokens.shape == (1, len(beginnings))


def test_one_text() -> None:
    trees = prefix_trees(*padded([[5, 6, 7]]), 77)
    assert trees.tokens.tolist() == [[5, 6, 7]]
    assert (trees.tree.tolist(), trees.place.tolist()) == ([0], [2])


WORDS = ("red", "red dress", "blue", "jeans", "red long dress", "blue jeans")
PROMPTS = [f"a photo of {word}{more}" for word in WORDS for more in ("", " slim", "s")]


def test_clip_gives_prompts_the_same_embeddings_and_gradients(clip: DualEncoder) -> None:
    tokens = clip.processor.tokenize([*PROMPTS, PROMPTS[2]])
    calls = []
    clip.backend.model.text_model.register_forward_hook(lambda _, __, out: calls.append(out.last_hidden_state.shape))
    plain = clip.encode_text(**tokens)
    shared = clip.encode_prompts(**tokens)
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)
    assert calls[-1][0] * calls[-1][1] < 0.5 * tokens["input_ids"].numel()
    weights = torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    parameters = [p for n, p in clip.named_parameters() if "text_model" in n]
    found = [torch.autograd.grad((one * weights).sum(), parameters) for one in (shared, plain)]
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_under_autocast(clip: DualEncoder) -> None:
    tokens = clip.processor.tokenize(PROMPTS)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        torch.testing.assert_close(clip.encode_prompts(**tokens), clip.encode_text(**tokens), atol=0.03, rtol=0)


def test_a_model_that_cannot_take_trees_gets_texts(clip: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another implementation of attention, or another version of transformers, may ignore or refuse the mask."""
    tokens = clip.processor.tokenize(PROMPTS)
    plain = clip.encode_text(**tokens)
    forward = clip.backend.model.text_model.forward

    def deaf(**options: Tensor) -> object:
        if options["attention_mask"].dim() == 4:
            options["attention_mask"] = torch.ones_like(options["input_ids"])
        return forward(**options)

    monkeypatch.setattr(clip.backend.model.text_model, "forward", deaf)
    torch.testing.assert_close(clip.encode_prompts(**tokens), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("least", [1, 1 << 30])
def test_other_families_encode_prompts_as_texts(
    vision_text: DualEncoder, pair: DualEncoder, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    """In one pass or in two."""
    monkeypatch.setattr(base, "LEAST_SAVED", least)
    for encoder in (vision_text, pair):
        tokens = encoder.processor.tokenize(PROMPTS)
        torch.testing.assert_close(encoder.encode_prompts(**tokens), encoder.encode_text(**tokens), atol=1e-5, rtol=0)


def test_two_groups_save_the_most_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 texts padded to 12 tokens, those of at most 5 save 3 x 7, which no other cut does."""
    _, mask = padded([[1] * length for length in (12, 5, 11, 4, 5)])
    monkeypatch.setattr(base, "LEAST_SAVED", 21)
    assert [group.tolist() for group in base.length_groups(mask)] == [[1, 3, 4], [0, 2]]
    assert [group.tolist() for group in base.length_groups(mask.flip(1))] == [[0, 1, 2, 3, 4]]  # padded on the left
    monkeypatch.setattr(base, "LEAST_SAVED", 22)
    assert [group.tolist() for group in base.length_groups(mask)] == [[0, 1, 2, 3, 4]]
    assert [group.tolist() for group in base.length_groups(mask[:1])] == [[0]]
