"""Towers: which block a module belongs to, and what stays quiet in training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import Tower, mask_padding, square_side


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


@pytest.mark.parametrize(("given", "side"), [(224, 224), ([224, 224], 224), ((32, 32), 32)])
def test_sides_of_squares(given: object, side: int) -> None:
    assert square_side(given) == side


def test_what_is_no_square_is_refused() -> None:
    with pytest.raises(InputError, match="is not a square"):
        square_side([224, 112])


def test_mask_padding() -> None:
    ids, given = torch.tensor([[5, 0, 7, 0]]), torch.tensor([[1, 1, 0, 0]])
    assert mask_padding(ids, given, 0) is given
    assert mask_padding(ids, None, 0).tolist() == [[1, 0, 1, 0]]
    assert mask_padding(ids, None, None).tolist() == [[1, 1, 1, 1]]
