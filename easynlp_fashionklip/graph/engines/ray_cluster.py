"""A Ray cluster for as long as it is needed: one that runs already, or one started on this machine."""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from easynlp_fashionklip.errors import InputError

_ANSWER_SECONDS = 10.0
_EXCEPTION = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*", re.MULTILINE)
INSTALL = "pip install 'easynlp-fashionklip[ray]'"


def import_ray() -> Any:
    """The package `ray`, with `ray.data`.

    Raises:
        InputError: it is not installed; names the pip command.
    """
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(f"The ray engine needs Ray Data, which is not installed: {INSTALL}.") from error


@contextmanager
def cluster(address: str = "") -> Iterator[Any]:
    """Be connected to a cluster; gives the package `ray`. A connection that is there already is used and kept.

    Args:
        address: `host:port`, `ray://host:port` or `auto` (the one that `ray start` started); '' starts a cluster on
            this machine and ends it afterwards.

    Raises:
        InputError: Ray is not installed, or the cluster does not answer.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a catalogue's owner has not been asked for telemetry
    if address not in ("", "auto", "local"):
        _check_answers(address)
    options = {"address": address} if address else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise _unanswered(address or "this machine", reason) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Ray itself would try for a minute and more."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _unanswered(address, str(error)) from error


def _unanswered(address: str, reason: str) -> InputError:
    return InputError(
        f"No Ray cluster answers at {address} ({reason}); start one with `ray start --head`, and check --ray-address, "
        "which is host:port. A cluster that asks for a token needs RAY_AUTH_MODE=token in the environment."
    )


@contextmanager
def told(ray: Any) -> Iterator[None]:
    """Failures on the cluster in one sentence.

    Raises:
        InputError: a task failed or a node was lost for good.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        raised = _EXCEPTION.findall(str(error)) or str(error).strip().split("\n")[:1]
        said = [line for line in raised if not line.startswith("ray.")] or raised  # Ray's own wrap what went wrong
        reason = said[-1].rstrip(".")
        raise InputError(
            f"The Ray cluster could not finish ({reason}); its nodes need this package in this version, and memory."
        ) from error


def cores(ray: Any) -> int:
    """CPUs of the cluster, at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def quiet(ray: Any) -> None:
    """Let Ray Data's own bars and plans be; there is a bar of ours."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
