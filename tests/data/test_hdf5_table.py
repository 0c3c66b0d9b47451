"""FashionGen's HDF5 files, and files that point elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from written import pixels_of, write_hdf5

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import describe_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

h5py = pytest.importorskip("h5py")


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'easynlp-fashionklip\[hdf5\]'"):
        open_catalogue(path)


def test_columns_of_other_shapes_and_latin_text(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.hdf5", "w") as file:
        file["input_image"] = np.stack([pixels_of(0), pixels_of(1)])
        file["input_description"] = np.array([["caf\u00e9".encode("latin-1")], [b"hat"]], dtype="S20")
        file["input_pose"] = np.array([[3], [4]])
        file["input_productID"] = [7, 7]
        file["names"] = ["a", "b"]
        file["mean"] = np.zeros(3)
        file["matrix"] = np.zeros((2, 5))
        file.create_group("group")
    table = PairTable(open_catalogue(tmp_path / "t.hdf5"), "input_description", "input_image")
    assert set(table.catalogue.columns) == {
        "input_image",
        "input_description",
        "input_pose",
        "input_productID",
        "names",
    }
    cells = table.cells(0)
    assert (cells["input_description"], cells["input_pose"], cells["names"]) == ("café", "3", "a")
    assert table.product_keys[0] == table.product_keys[1]
    image = table.pair(1).image
    assert image is not None and describe_image(image) == ("PPM", (12, 12))
    with pytest.raises(InputError, match="holds bytes"):
        PairTable(table.catalogue, "input_image")


def test_blocks_of_text_end_where_the_rows_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from easynlp_fashionklip.data import hdf5_table

    monkeypatch.setattr(hdf5_table, "BLOCK_BYTES", 64)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["text"] = np.array([b"t%d" % row for row in range(33)], dtype="S16")
    catalogue = open_catalogue(tmp_path / "t.h5")
    assert [catalogue.row(i)["text"] for i in (*range(33), 0)] == [*(f"t{row}" for row in range(33)), "t0"]


def test_links_and_outside_data_are_refused(tmp_path: Path) -> None:
    write_hdf5(tmp_path)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["text"] = h5py.ExternalLink("table.h5", "input_description")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("text", (4,), "S8", external=[(str(tmp_path / "table.h5"), 0, 32)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((4,), "S8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "table.h5"), "x", (4,))
        file.create_virtual_dataset("text", layout)
    for name, words in (("link", "is a link"), ("outside", "another file"), ("virtual", "another file")):
        with pytest.raises(InputError, match=words):
            open_catalogue(tmp_path / f"{name}.h5")


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"id,text\n1,a\n"])
def test_what_is_not_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.h5").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        open_catalogue(tmp_path / "t.h5")
    with pytest.raises(InputError, match="does not exist"):
        open_catalogue(tmp_path / "gone.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(InputError, match="no data sets of rows"):
        open_catalogue(tmp_path / "empty.h5")
