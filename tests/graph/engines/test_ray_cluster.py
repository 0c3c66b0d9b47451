"""What a cluster that cannot be used is told as, without Ray."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.engines import ray_cluster


def refuse(**options: Any) -> None:
    raise ConnectionError("Failed to connect.\nA long story.")


def test_a_cluster_that_wants_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port is open, so only Ray itself is refused."""
    fake = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: fake)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=r"\(Failed to connect\); .* needs RAY_AUTH_MODE=token"),
            ray_cluster.cluster(address),
        ):
            pass
