"""Mining on a Ray cluster of two nodes gives what one process gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.engines import LocalEngine, RayEngine, collect, ray_data

if TYPE_CHECKING:
    from spacy.language import Language

Texts = Callable[[int], list[str]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes of one CPU each."""
    pytest.importorskip("ray.data")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def test_without_ray_the_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(InputError, match=r"pip install 'easynlp-fashionklip\[ray\]'"):
        RayEngine(None)


@pytest.mark.slow
def test_the_graph_is_equal_byte_for_byte(
    nlp: Language, texts: Texts, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect.SegmentIndex.chunks, "__defaults__", (32,))
    monkeypatch.setattr(ray_data, "_CHUNKS_PER_ACTOR", 3)  # several datasets, one after the other
    many, done = [*texts(150), "\ud800 broken half of a pair"], list[int]()
    ids = [str(i) for i in range(len(many))]
    for name, engine in (("local", LocalEngine(nlp)), ("ray", RayEngine(nlp, address))):
        build_graph(many, ids, nlp, progress=done.append, engine=engine).save(tmp_path / name)
    assert sum(done) == 2 * len(many)
    files = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert "mentions.parquet" in files
    for name in files:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there(address: str) -> None:
    pytest.importorskip("ray.data")
    with pytest.raises(InputError, match=rf"No Ray cluster answers at {address} "):
        RayEngine(None, address).mine(["Black Dress"])


class _Failing:
    def __init__(self, pipeline: Any) -> None:
        pass

    def __call__(self, batch: Any) -> Any:
        raise ZeroDivisionError("on purpose")


@pytest.mark.slow
def test_a_failure_on_a_node_is_told_in_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes cannot import this file
    monkeypatch.setattr(ray_data, "ChunkActor", _Failing)
    with pytest.raises(InputError, match=r"could not finish \(ZeroDivisionError: on purpose\)") as caught:
        RayEngine(None, address).mine(["Black Dress"])
    assert "\n" not in str(caught.value)
