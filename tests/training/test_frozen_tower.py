"""What the cache returns is what the tower would have computed, within its budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.frozen_tower import FrozenPictures, FrozenTowerCache, KeptTexts
from easynlp_fashionklip.training.mapped import SpilledTensor

TABLE = torch.arange(30.0).reshape(10, 3)


class Tower:
    """Looks rows up in TABLE and notes what it was asked."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self.asked: list[int] = []

    def __call__(self, positions: Tensor) -> Tensor:
        self.asked += self.keys[positions].tolist()
        return TABLE[self.keys[positions]]


def ask(cache: FrozenTowerCache, keys: list[int]) -> list[int]:
    tower = Tower(torch.tensor(keys))
    torch.testing.assert_close(cache.get(torch.tensor(keys), tower), TABLE[keys], rtol=0, atol=0)
    return tower.asked


def test_known_texts_are_not_computed_again() -> None:
    cache = FrozenTowerCache(10)
    assert ask(cache, [7, 2, 9]) == [7, 2, 9]
    assert ask(cache, [2, 9]) == []
    assert ask(cache, [2, 3, 7, 0]) == [3, 0]


def test_a_text_twice_in_a_batch() -> None:
    cache = FrozenTowerCache(10)
    ask(cache, [4, 4, 1])
    assert ask(cache, [1, 4, 4]) == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)


def test_beyond_the_budget_it_lives_in_a_file() -> None:
    cache = FrozenTowerCache(10, budget=10)
    assert ask(cache, list(range(10))) == list(range(10))
    assert cache._outputs is not None and cache._outputs.in_file
    assert cache.complete
    assert ask(cache, [9, 3, 3, 0]) == []


@pytest.mark.parametrize("capacity", [0, 4, 10])
def test_without_room_for_a_file_keys_beyond_the_budget_are_computed_each_time(full_disk: None, capacity: int) -> None:
    cache = FrozenTowerCache(10, budget=capacity * 3 * 4)
    ask(cache, list(range(10)))
    assert ask(cache, [9, 3, 5, 0]) == [key for key in (9, 3, 5, 0) if key >= capacity]
    assert ask(cache, [3]) == ([] if capacity > 3 else [3])
    assert cache.complete == (capacity == 10)


def test_a_whole_cache_is_in_memory_where_there_is_no_room_for_a_file(full_disk: None) -> None:
    """Prompts: some of the latest refresh and others of the present model would be worse than either."""
    cache = FrozenTowerCache(10, budget=10, whole=True)
    ask(cache, list(range(10)))
    assert cache.complete
    texts = KeptTexts(load_pretrained("tiny"), 0)
    texts.replace(torch.ones(4, 3))
    assert texts.cache is not None and texts.cache._whole and texts.cache.complete


def test_a_file_leaves_half_of_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 x 3 x 4 bytes."""
    for free, in_file in ((240, True), (239, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert SpilledTensor(10, 3, torch.float32, 100, shrinks=True).in_file == in_file
        assert SpilledTensor(10, 3, torch.float32, 100).in_file


def test_it_is_never_larger_than_its_table() -> None:
    cache = FrozenTowerCache(10, budget=1 << 30)
    ask(cache, [0])
    assert cache._outputs is not None
    assert cache._outputs.values.shape == (10, 3)
    assert not cache._outputs.in_file


def test_no_gradient_is_kept() -> None:
    cache = FrozenTowerCache(2)
    weight = torch.ones(2, 3, requires_grad=True)
    assert not cache.get(torch.tensor([0, 1]), lambda positions: weight[positions] * 2).requires_grad


@contextmanager
def counting(model: DualEncoder) -> Iterator[list[int]]:
    """How many pictures each call of the image tower was given."""
    calls: list[int] = []
    handle = model.backend.image_tower.module.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    try:
        yield calls
    finally:
        handle.remove()


def frozen_tiny(freeze: str = "vision") -> DualEncoder:
    model = load_pretrained("tiny")
    model.freeze(parse_freezing(freeze))
    return model


PIXELS = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def kept(model: DualEncoder, rows: int = 5) -> FrozenPictures:
    pictures = FrozenPictures(model, 5)
    with torch.inference_mode():  # as `encode_images_to` calls it
        pictures.store(torch.arange(rows), model.image_tower_output(PIXELS[:rows]))
    return pictures


def test_pictures_that_are_kept_need_no_pixels_and_no_tower() -> None:
    model = frozen_tiny()
    pictures = kept(model)
    rows = torch.tensor([3, 0, 3])
    assert pictures.complete
    with counting(model) as calls:
        from_rows = pictures.encode({"rows": rows})
        assert calls == []
        from_pixels = pictures.encode({"rows": rows, "pixel_values": PIXELS[rows]})
        assert calls == [3]
    torch.testing.assert_close(from_rows, from_pixels, atol=1e-6, rtol=0)
    from_rows.sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {"backend.model.visual_projection.weight"}


def test_what_is_kept_is_projected_by_the_head_as_it_is() -> None:
    model = frozen_tiny()
    pictures, bank = kept(model), EmbeddingBank(5, model.embed_dim)
    with torch.no_grad():
        model.backend.model.visual_projection.weight.mul_(torch.linspace(-1, 1, 32))
    pictures.fill(bank)
    with torch.no_grad():
        expected = model.encode_image(PIXELS)
    torch.testing.assert_close(bank.get(torch.arange(5)), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("freeze", ["none", "text", "layers:1"])
def test_a_tower_that_trains_is_not_kept(freeze: str) -> None:
    pictures = FrozenPictures(frozen_tiny(freeze), 5)
    assert not pictures.wanted and not pictures.complete
    with pytest.raises(KeyError):
        pictures.encode({"rows": torch.tensor([0])})


def test_all_are_kept_or_all_need_pixels() -> None:
    pictures = kept(frozen_tiny(), rows=4)
    assert not pictures.complete
    with pytest.raises(KeyError):
        pictures.embeds(torch.tensor([4]))


TEXTS = ["a red dress", "blue jeans with five pockets and a belt", "coat"]


@pytest.mark.parametrize("layers", [0, 1])
def test_texts_that_are_kept_pass_what_trains_alone(layers: int) -> None:
    """Whatever the padding of the batch they were kept from."""
    model = load_pretrained("tiny").train()
    model.set_trainable_layers(text=layers)
    texts = KeptTexts(model, 3, states=True)
    whole = model.processor.tokenize(TEXTS)
    expected = model.encode_text(**whole)
    for number in range(3):
        alone = model.processor.tokenize([TEXTS[number]])
        texts.cache.store(torch.tensor([number]), texts.compute(**alone))
    assert texts.cache.complete
    layer = model.backend.model.text_model.encoder.layers[0]
    layer.register_forward_hook(lambda *_: pytest.fail("a frozen layer ran"))
    for keys in ([0, 1, 2], [2, 0]):
        found = texts.encode(model.processor.tokenize([TEXTS[key] for key in keys]), torch.tensor(keys))
        torch.testing.assert_close(found, expected[keys], atol=1e-5, rtol=0)


def test_texts_of_a_tower_that_trains_are_not_kept() -> None:
    model = load_pretrained("tiny")
    assert KeptTexts(model, 3, states=True).cache is None
    model.set_trainable_layers(text=1)
    assert KeptTexts(model, 3).cache is None
    model.set_trainable_layers(text=0)
    assert KeptTexts(model, 3).cache is not None and KeptTexts(model, 0).cache is None


def test_without_room_each_text_is_computed_again(full_disk: None) -> None:
    model = load_pretrained("tiny").train()
    model.set_trainable_layers(text=1)
    texts = KeptTexts(model, 3, states=True)
    texts.cache = FrozenTowerCache(3, budget=0)
    tokens = model.processor.tokenize(TEXTS)
    for _ in range(2):
        found = texts.encode(tokens, torch.arange(3))
        torch.testing.assert_close(found, model.encode_text(**tokens), atol=1e-5, rtol=0)
    assert not texts.cache.complete
