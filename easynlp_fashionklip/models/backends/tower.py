"""One encoder as a stack of layers, of which the upper ones train and the lower ones are frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import TowerTraining


class Tower:
    """One encoder's blocks from the input up, so that its top n can be trained and the rest frozen.

    The blocks are the entries of the longest `nn.ModuleList` with, below them, one block of everything registered
    before the list (embeddings, stem); what is registered after it (final norm, pooler) belongs to the top block.

    Args:
        name: for messages.
        module: the encoder.
        without: modules within it that are no part of the tower, such as a projection head.
    """

    def __init__(self, name: str, module: nn.Module, without: Sequence[nn.Module] = ()) -> None:
        self.name = name
        self.module = module
        self._list, self.blocks = _blocks(module, {id(child) for one in without for child in one.modules()})
        self.trainable = len(self.blocks)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of all blocks."""
        for block in self.blocks:
            for module in block:
                yield from module.parameters(recurse=False)

    def set_trainable(self, layers: int) -> None:
        """Train the top `layers` blocks and freeze the others.

        Raises:
            InputError: if the tower has fewer blocks.
        """
        if not 0 <= layers <= len(self.blocks):
            raise InputError(
                f"the {self.name} tower cannot train {layers} layers; give 0 (frozen) to {len(self.blocks) - 1}, "
                f"or {len(self.blocks)} to train its embeddings too."
            )
        self.trainable = layers
        for number, block in enumerate(self.blocks):
            for module in block:
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(number >= len(self.blocks) - layers)

    def layers_of(self, choice: TowerTraining) -> int:
        """How many top blocks a choice trains; -1 for the checkpoint's own.

        Raises:
            InputError: the tower has fewer layers than the choice counts.
        """
        depth = len(self.blocks) - 1  # the lowest block is the embeddings
        if choice.what == "above" and choice.layers > depth:
            raise InputError(
                f"--user_defined_parameters: freeze with layers:{choice.layers} goes beyond the {self.name} tower, "
                f"which has {depth} layers; give layers:0 to layers:{depth}, or name the tower to freeze it as a whole."
            )
        counts = {"own": -1, "all": depth + 1, "top": choice.layers, "above": depth - choice.layers}
        return counts[choice.what]

    def quiet_frozen(self) -> None:
        """Put frozen blocks (their dropout) and every batch norm in eval mode.

        Batch norms use their running statistics in training too: otherwise a picture's embedding, and so the loss,
        would depend on which pictures share its process. Their affine parameters still train.
        """
        for number, block in enumerate(self.blocks):
            frozen = number < len(self.blocks) - self.trainable
            for module in block:
                if frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.training = False

    def grad(self) -> torch.no_grad | nullcontext[None]:
        """The context to run the tower in: without autograd when nothing in it trains."""
        return nullcontext() if self.trainable else torch.no_grad()

    @property
    def splits(self) -> bool:
        """Whether some but not all of the layers train, so that the states below those may be kept."""
        return self._list is not None and 0 < self.trainable < len(self.blocks) - 1

    def states_below(self, run: Callable[[], Tensor]) -> Tensor:
        """The states that reach the lowest layer that trains, B x L x h, when `run` runs the tower; without gradient.

        The layers above do not run.
        """
        found: list[Tensor] = []
        count = len(self.blocks) - 1 - self.trainable
        with torch.no_grad(), self._layers(slice(count)) as layers:
            hook = layers[-1].register_forward_hook(lambda _module, _inputs, output: found.append(output))
            try:
                run()
            finally:
                hook.remove()
        states: Any = found[0]
        kept: Tensor = states[0] if isinstance(states, tuple) else states  # as older versions of transformers have it
        return kept

    def output_above(self, states: Tensor, run: Callable[[], Tensor]) -> Tensor:
        """What `run` returns where it runs the tower, whose frozen layers have made these states of `states_below`."""
        with self._layers(slice(len(self.blocks) - 1 - self.trainable, None)) as layers:
            hook = layers[0].register_forward_pre_hook(lambda _module, inputs: (states, *inputs[1:]))
            try:
                return run()
            finally:
                hook.remove()

    @contextmanager
    def _layers(self, chosen: slice) -> Iterator[nn.ModuleList]:
        """The tower with some of its layers only."""
        assert self._list is not None
        parent_name, _, name = self._list.rpartition(".")
        parent = self.module.get_submodule(parent_name)
        whole = parent.get_submodule(name)
        assert isinstance(whole, nn.ModuleList)
        part = nn.ModuleList(list(whole)[chosen])
        setattr(parent, name, part)
        try:
            yield part
        finally:
            setattr(parent, name, whole)


def _blocks(module: nn.Module, excluded: set[int]) -> tuple[str | None, list[list[nn.Module]]]:
    """Name of the list of layers, None without one, and the blocks."""
    inside = [(name, child) for name, child in module.named_modules() if id(child) not in excluded]
    lists = [(name, child) for name, child in inside if isinstance(child, nn.ModuleList)]
    if not lists:
        return None, [[child for _, child in inside]]
    list_name, layers = max(lists, key=lambda item: len(item[1]))
    block_of = {id(child): number for number, layer in enumerate(layers, start=1) for child in layer.modules()}
    blocks: list[list[nn.Module]] = [[] for _ in range(len(layers) + 1)]
    outside = 0
    for name, child in inside:  # in the order of registration, children right after their parent
        if name == list_name:
            outside = len(layers)
        blocks[block_of.get(id(child), outside)].append(child)
    return list_name, blocks
