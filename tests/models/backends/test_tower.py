"""Towers: which block a module belongs to, what stays quiet in training, and what frozen layers make of a text."""

from __future__ import annotations

import pytest
import torch
from model_families import FAMILIES
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.tower import Tower
from easynlp_fashionklip.models.dual_encoder import DualEncoder


class Toy(nn.Module):
    """Embeddings, two layers, a final norm; the parameters of the module itself belong to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(2))
        self.stem = nn.Linear(2, 2)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()) for _ in "ab"])
        self.final = nn.LayerNorm(2)


def trained(module: nn.Module) -> set[str]:
    return {name.rsplit(".", 1)[0] for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (0, set()),
        (1, {"final", "layers.1.0", "layers.1.1"}),
        (2, {"final", "layers.1.0", "layers.1.1", "layers.0.0", "layers.0.1"}),
        (3, {"final", "layers.1.0", "layers.1.1", "layers.0.0", "layers.0.1", "stem", "token"}),
    ],
)
def test_top_layers_train_with_what_follows_them(layers: int, names: set[str]) -> None:
    module = Toy()
    tower = Tower("toy", module)
    assert len(tower.blocks) == 3
    tower.set_trainable(layers)
    assert trained(module) == names


def test_freezing_can_be_undone() -> None:
    module = Toy()
    tower = Tower("toy", module)
    tower.set_trainable(0)
    tower.set_trainable(3)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_batch_norms_and_frozen_dropout_are_quiet() -> None:
    module = Toy()
    tower = Tower("toy", module)
    tower.set_trainable(1)
    module.train()
    tower.quiet_frozen()
    norms = [child.training for child in module.modules() if isinstance(child, nn.BatchNorm1d)]
    dropouts = [child.training for child in module.modules() if isinstance(child, nn.Dropout)]
    assert norms == [False, False]
    assert dropouts == [False, True]


def test_tower_without_layers_is_one_block() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tower = Tower("toy", module)
    assert len(tower.blocks) == 1
    tower.set_trainable(0)
    assert not trained(module)
    with pytest.raises(InputError, match="toy tower cannot train 2 layers"):
        tower.set_trainable(2)


def test_only_a_tower_that_trains_builds_a_graph() -> None:
    tower = Tower("toy", nn.Linear(2, 2))
    with tower.grad():
        assert torch.is_grad_enabled()
    tower.set_trainable(0)
    with tower.grad():
        assert not torch.is_grad_enabled()


def test_what_is_left_out_of_a_tower_trains_whatever_it_does() -> None:
    module = Toy()
    module.head = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([nn.Linear(2, 2) for _ in range(5)]))
    tower = Tower("toy", module, without=(module.head,))
    assert len(tower.blocks) == 3
    tower.set_trainable(0)
    assert trained(module) == {"head.0", *(f"head.1.{number}" for number in range(5))}
    inside = {id(parameter) for parameter in tower.parameters()}
    assert inside == {id(p) for name, p in module.named_parameters() if not name.startswith("head.")}


KEPT = ["chinese_clip", "clip", "fashionklip-pair"]
TEXTS = ["a red dress", "blue jeans with five pockets and a belt", "红色连衣裙"]


def of_two_layers(family: str) -> tuple[DualEncoder, dict[str, Tensor]]:
    """An encoder whose text tower trains its upper layer, and tokens of texts."""
    model = FAMILIES[family]()
    model.set_trainable_layers(text=1)
    return model.eval(), model.processor.tokenize(TEXTS)


def test_families_whose_states_are_kept() -> None:
    assert [family for family in sorted(FAMILIES) if of_two_layers(family)[0].text_tower_splits] == KEPT


@pytest.mark.parametrize("family", KEPT)
def test_from_kept_states_come_the_same_outputs_and_gradients(family: str) -> None:
    model, tokens = of_two_layers(family)
    states = model.text_states(**tokens)
    assert not states.requires_grad and states.shape[:2] == tokens["input_ids"].shape
    found = []
    for output in (model.text_tower_output(**tokens), model.text_tower_output_of(states, **tokens)):
        model.zero_grad(set_to_none=True)
        output.square().sum().backward()
        found.append((output.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (expected, gradients), (got, same) = found
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert same.keys() == gradients.keys() and len(same) > 4
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", KEPT)
def test_each_layer_runs_on_one_side_only(family: str) -> None:
    model, tokens = of_two_layers(family)
    tower = model.backend.text_tower
    whole = next(child for child in tower.module.modules() if isinstance(child, nn.ModuleList) and len(child) == 2)
    ran: list[int] = []
    for number, layer in enumerate(whole):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    states = model.text_states(**tokens)
    assert ran == [0]
    model.text_tower_output_of(states, **tokens)
    assert ran == [0, 1]
    names = list(model.state_dict())
    model.text_tower_output(**tokens)
    assert ran == [0, 1, 0, 1]  # the tower is whole again
    assert names == list(FAMILIES[family]().state_dict())


def test_an_error_leaves_the_tower_whole() -> None:
    model, tokens = of_two_layers("fashionklip-pair")

    def fail() -> Tensor:
        raise RuntimeError("no")

    for run in (model.backend.text_tower.states_below, lambda f: model.backend.text_tower.output_above(TEXTS, f)):
        with pytest.raises(RuntimeError, match="no"):
            run(fail)
    assert model.text_tower_output(**tokens).isfinite().all()
    assert len(model.backend.text_model.encoder.layer) == 2


@pytest.mark.parametrize(("layers", "splits"), [(0, False), (1, True), (2, False), (3, False)])
def test_a_tower_splits_where_some_layers_are_frozen_below_others(layers: int, splits: bool) -> None:
    model = FAMILIES["clip"]()
    model.set_trainable_layers(text=layers)
    assert model.text_tower_splits == splits


def test_nothing_is_kept_of_texts_with_padding_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    model = of_two_layers("clip")[0]
    monkeypatch.setattr(model.processor.tokenizer, "padding_side", "left")
    assert not model.text_tower_splits
