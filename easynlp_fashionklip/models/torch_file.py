"""Files of `torch.save` and TorchScript archives, read as data: nothing that they hold is run.

A pickle is a program, and so is a TorchScript archive: loading one runs the `__setstate__` methods it brings along,
which may write files. Plain pickles are therefore read by torch with `weights_only=True`. Of TorchScript archives, as
OpenAI published its models, the tensors are read by `models.torchscript`, and the program stays unread.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import pickletools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.torchscript import is_torchscript, read_torchscript

logger = logging.getLogger(__name__)

_ASKED_FOR = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL|but got) <?(?:class |function )?'?([\w.]+)")
_INSTRUCTION = re.compile(r"Unsupported operand (\d+)")


def read_torch_file(path: Path, *, trust_pickle: bool = False) -> Any:
    """What a file of `torch.save` holds, tensors on the CPU; of a TorchScript archive, its state dict.

    Args:
        path: the file.
        trust_pickle: let the file run whatever program it holds, if it holds more than weights.

    Raises:
        InputError: the file is damaged, or holds more than weights and is not trusted; the message says what.
    """
    try:
        if is_torchscript(path):
            return read_torchscript(path)
        return _read_weights(path)
    except pickle.UnpicklingError as error:
        asked = _asked_for(error, path)
        if asked is None:
            raise InputError(f"{path} is damaged ({first_line(error)}); copy or download it again.") from error
        if trust_pickle:
            return _read_trusted(path, asked)
        raise _refusal(path, asked) from error
    except Exception as error:  # of a damaged file torch asserts, unpacks and looks up what it finds there
        raise InputError(f"{path} is damaged ({first_line(error)}); copy or download it again.") from error


def refuse_program(path: Path, *, trust_pickle: bool = False) -> bool:
    """Look through the pickle of a torch file without loading it: whether it asks for more than weights.

    What cannot be looked through in this way (a damaged file, or one from before torch 1.6) counts as harmless here:
    whoever reads it with `weights_only` will refuse it.

    Raises:
        InputError: it does, and is not trusted.
    """
    try:
        with _numpy_numbers():
            asked = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # see `read_torch_file`
        return False
    if asked and not trust_pickle:
        raise _refusal(path, asked[0])
    return bool(asked)


def _refusal(path: Path, asked: str) -> InputError:
    return InputError(
        f"{path} is refused: beside weights it asks for {asked}, with which a file can run any program; "
        "if you trust its author, load it with trust_pickle=true (--trust_pickle)."
    )


def _asked_for(error: pickle.UnpicklingError, path: Path) -> str | None:
    """What a pickle wanted beside weights, in words; None if it is just damaged."""
    if found := _ASKED_FOR.search(str(error)):
        return found.group(1)
    instruction = _INSTRUCTION.search(str(error))
    names = {ord(operation.code): operation.name for operation in pickletools.opcodes}
    if not instruction or int(instruction.group(1)) not in names:
        return None
    return _first_import(path) or f"pickle's instruction {names[int(instruction.group(1))]}"


def _first_import(path: Path) -> str | None:
    """The first name that a plain pickle imports; nothing of it is run."""
    words: list[Any] = []
    with path.open("rb") as file, contextlib.suppress(ValueError, IndexError, UnicodeDecodeError, OverflowError):
        for operation, argument, _ in pickletools.genops(file):
            if operation.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if operation.name == "STACK_GLOBAL":
                return ".".join(map(str, words[-2:]))
            if isinstance(argument, str):
                words = [*words[-1:], argument]
    return None


def _read_weights(path: Path) -> Any:
    with warnings.catch_warnings(), _numpy_numbers():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_trusted(path: Path, asked: str) -> Any:
    logger.warning("%s asks for %s and is trusted: the program in it is run now", path, asked)
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # the program may raise anything
        raise InputError(f"{path} cannot be loaded although it is trusted ({first_line(error)}).") from error


def _numpy_numbers() -> contextlib.AbstractContextManager[Any]:
    """Lets single numbers of numpy through, which a schedule leaves in an optimizer's learning rate."""
    try:
        from numpy._core.multiarray import scalar
    except ImportError:  # numpy 1
        from numpy.core.multiarray import scalar  # type: ignore[no-redef]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    numbers = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32")]
    try:
        return torch.serialization.safe_globals([*names, (np.dtype, "numpy.dtype"), *numbers])
    except (AttributeError, TypeError):  # a torch before 2.6 refuses such files
        return contextlib.nullcontext()


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without a closing full stop, to quote inside a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
