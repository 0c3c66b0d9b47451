"""Folders in transformers' layout whose weights are a pickle: looked through before transformers reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
from torch import Tensor

from easynlp_fashionklip.models.checkpoint import PYTORCH_BIN, SAFETENSORS, read_tensor_file
from easynlp_fashionklip.models.storage import folder_for, telling_disk_errors
from easynlp_fashionklip.models.torch_file import refuse_program


@contextmanager
def safe_folder(folder: Path, trust_pickle: bool) -> Iterator[Path]:
    """The folder itself; or, if its weights are in a pickle that holds more and is trusted, a copy with safetensors.

    Raises:
        InputError: the pickle holds more than weights and is not trusted.
    """
    path = folder / PYTORCH_BIN
    if (folder / SAFETENSORS).is_file() or not path.is_file() or not refuse_program(path, trust_pickle=trust_pickle):
        yield folder
        return
    content = read_tensor_file(path, trust_pickle=True)
    # A copy each: tied weights would not go into one file.
    state = {key: value.clone().contiguous() for key, value in content.items() if isinstance(value, Tensor)}
    with folder_for(folder) as copy:
        for file in folder.iterdir():
            if file.is_file() and file != path:
                (copy / file.name).symlink_to(file.resolve())
        with telling_disk_errors():
            safetensors.torch.save_file(state, copy / SAFETENSORS, metadata={"format": "pt"})
        yield copy
