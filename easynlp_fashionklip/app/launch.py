"""Starting the worker processes: in this process for one, with torchrun for more, on one or several machines."""

from __future__ import annotations

import logging
import os
import socket
import sys
from argparse import Namespace
from collections.abc import Sequence

from easynlp_fashionklip.app.arguments import check, peek
from easynlp_fashionklip.app.network import choose_interface
from easynlp_fashionklip.data.loader import available_cores
from easynlp_fashionklip.errors import InputError

WORKER_MODULE = "easynlp_fashionklip.app.worker"
SECONDS_TO_MEET = 900  # until the commands on all machines have been started
SECONDS_TO_SAVE = "600"  # between Ctrl-C and a kill: the step in progress, then the resume point
_OF_A_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def processes_per_machine(flags: Namespace) -> int:
    """One per GPU (`--worker_gpu`, or all there are); on CPUs `--worker_cpu`, else `--worker_gpu`, else 1.

    Prediction always takes one: every process would write the same file.

    Raises:
        InputError: more GPUs are asked for than there are.
    """
    if flags.mode == "predict":
        return 1
    import torch

    gpus = torch.cuda.device_count()
    if gpus == 0:
        return next((count for count in (flags.worker_cpu, flags.worker_gpu) if count > 0), 1)
    if flags.worker_gpu > gpus:
        raise InputError(f"--worker_gpu={flags.worker_gpu}, but this machine has {gpus}; give at most {gpus}.")
    return flags.worker_gpu if flags.worker_gpu > 0 else gpus


def machines(flags: Namespace) -> tuple[int, int, str, int]:
    """(number of machines, this machine's rank, master address, master port), from --worker_count and PAI's variables.

    Raises:
        InputError: several machines without RANK, MASTER_ADDR and MASTER_PORT.
    """
    if flags.worker_count <= 1:
        return 1, 0, "127.0.0.1", free_port()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"--worker_count={flags.worker_count} needs the environment variables RANK (of this machine), MASTER_ADDR "
            f"and MASTER_PORT; {', '.join(missing)} is not set."
        )
    rank, port = os.environ["RANK"], os.environ["MASTER_PORT"]
    if not (rank.isdigit() and int(rank) < flags.worker_count):
        raise InputError(f"RANK={rank} is not a machine number from 0 to {flags.worker_count - 1}.")
    if not port.isdigit():
        raise InputError(f"MASTER_PORT={port} is not a port number.")
    return flags.worker_count, int(rank), os.environ["MASTER_ADDR"], int(port)


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(argv: Sequence[str]) -> int:
    """Check the flags, run the worker(s) with `argv`, and return the exit code.

    Raises:
        InputError: the flags cannot be used.
    """
    flags = peek(argv)
    check(flags)
    count, rank, address, port = machines(flags)
    local = processes_per_machine(flags)
    if count > 1:
        choose_interface(address)
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns of every address that has no name
    # ninja and friends live beside the interpreter, which an unactivated environment leaves off PATH.
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    if count * local == 1:
        return _run_here(argv, port)
    return _run_with_torchrun(argv, count, rank, address, port, local)


def _run_here(argv: Sequence[str], port: int) -> int:
    """One process needs no launcher: same environment as torchrun's, no second interpreter to start."""
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    from easynlp_fashionklip.app.worker import main

    return main(argv)


def _run_with_torchrun(argv: Sequence[str], count: int, rank: int, address: str, port: int, local: int) -> int:
    """Start `local` processes here and wait for them.

    Raises:
        InputError: the machines cannot meet.
    """
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in _OF_A_RANK:
        os.environ.pop(name, None)
    # A worker says itself what went wrong; torchrun's report of the same would hide it.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SECONDS_TO_SAVE)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // local)))
    config = LaunchConfig(
        min_nodes=count,
        max_nodes=count,
        nproc_per_node=local,
        run_id="fashionklip",
        rdzv_backend="static",
        rdzv_endpoint=f"{address}:{port}",
        rdzv_configs={"rank": rank, "timeout": SECONDS_TO_MEET},
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", WORKER_MODULE, *argv)
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 1)
    except SignalException:
        return 130
    except DistError as error:
        raise InputError(
            f"machine {rank} of {count} did not meet the others at MASTER_ADDR={address} MASTER_PORT={port} "
            f"({str(error).strip().splitlines()[0].rstrip('.')}); start the command on all machines within "
            f"{SECONDS_TO_MEET // 60} minutes, with the address of machine 0 and a free port that its firewall lets in."
        ) from error
    return 0
