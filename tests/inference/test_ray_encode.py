"""Pictures embedded by a pool of actors are embedded as in one process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.encode import encode_images
from easynlp_fashionklip.models.zoo import load_pretrained


def catalogue(folder: Path, rows: int) -> PairTable:
    lines = ["id,image,caption"]
    for row in range(rows):
        Image.new("RGB", (24, 32), (row * 9 % 256, row * 31 % 256, row * 57 % 256)).save(folder / f"{row}.png")
        lines.append(f"p{row},{row}.png,dress {row}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return PairTable(open_catalogue(folder / "table.csv"), "caption", "image")


@pytest.mark.slow
def test_embeddings_equal_those_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray.data")
    from easynlp_fashionklip.inference.ray_encode import encode_images_on_ray

    table, model = catalogue(tmp_path, 21), load_pretrained("tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = encode_images(model, table, batch_size=4, workers=0, progress=False)
    finally:
        torch.set_num_threads(threads)
    found = encode_images_on_ray(model, table, batch_size=4, actors=2, progress=False)
    np.testing.assert_array_equal(found, expected)
    (tmp_path / "7.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"line 9"):
        encode_images_on_ray(model, table, batch_size=4, actors=1, progress=False)
