"""The world of processes that train one network together, over torch.distributed; a process alone is a world of one.

Small sums and words go over the CPU (gloo), gradients over the device that they lie on (NCCL on CUDA). Nothing is pickled: words
between processes are JSON.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from autoseg.errors import AutosegError
from autoseg.parallel import number_of_cores

TIMEOUT = timedelta(days=2)  # by which one may wait for another, such as for its cases; one that dies ends all long before
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # of torchrun
LOST = ("/gloo/", "NCCL", "ncclInternal", "Connection closed by peer", "Connection reset by peer", "TCPStore", "Broken pipe")


class LostConnectionError(AutosegError):
    """An error of a process that another one has left: what ended that one is the reason."""


@dataclass(frozen=True)
class Share:
    """The part of all batches that a process makes: of some batches some samples, by their position in a batch.

    first, every: its batches are those of the numbers `first`, `first + every`, ...
    """

    positions: range
    first: int = 0
    every: int = 1

    def number(self, own: int) -> int:
        """Return the number, among all batches, of this process's own batch number `own`."""
        return self.first + own * self.every


@dataclass(frozen=True)
class World:
    """The processes that train together. rank: this one's number. local_rank, local_size: the same on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Tell whether this is the process that alone writes and speaks."""
        return self.rank == 0

    @property
    def cores(self) -> int:
        """Return this process's part of the machine's cores."""
        return max(1, number_of_cores() // self.local_size)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of what all processes give, without gradient."""
        if self.size == 1:
            return values.detach()
        total = values.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    def all(self, flag: bool) -> bool:
        """Tell whether all processes say so."""
        return int(self.sum(torch.tensor(int(flag)))) == self.size

    def tell(self, value: Any) -> Any:
        """Return the main process's value, in all of them. value: what JSON can hold."""
        if self.size == 1:
            return value
        text = torch.tensor(list(json.dumps(value).encode()) if self.is_main else [], dtype=torch.uint8)
        length = self.sum(torch.tensor(len(text)))
        text = text if self.is_main else torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(text, src=0)
        return json.loads(bytes(text.tolist()))

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.sum(torch.zeros(()))

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process run the block before the others do, which then find what it has written."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def share_of_each(self, batch_size: int) -> Share:
        """Return this process's share of each batch. Raises AutosegError where there are fewer samples than processes."""
        if batch_size < self.size:
            raise AutosegError(
                f"A batch of {batch_size} cannot be shared by {self.size} processes: each needs one sample of it. Take fewer "
                f"(--gpus {batch_size}), or a larger batch (--batch-per-gpu 1 makes it {self.size}).")
        return Share(range(self.rank * batch_size // self.size, (self.rank + 1) * batch_size // self.size))

    def whole_batches(self, batch_size: int) -> Share:
        """Return the share of a process that makes whole batches, by turns with the others."""
        return Share(range(batch_size), self.rank, self.size)

    def turns(self, first: int, count: int) -> tuple[int, int]:
        """Return which of the whole batches number `first` to `first + count - 1` are this process's: the first by its own
        numbers (see `Share`), and how many."""
        own, end = (-(-(number - self.rank) // self.size) for number in (first, first + count))
        return own, end - own


ALONE = World()
_joined: list[World] = []


def world() -> World:
    """Return the world that this process has joined."""
    return _joined[-1] if _joined else ALONE


def is_main_process() -> bool:
    """Tell whether this process is alone, or the one of several that alone writes and speaks."""
    return world().is_main


def is_torchrun() -> bool:
    """Tell whether this process is one of several that torchrun, or another launcher that sets its variables, has started."""
    return all(name in os.environ for name in VARIABLES) and os.environ["WORLD_SIZE"] != "1"


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the other processes of torchrun, where there are any, and yield the name of this process's own device.

    device: as a user names it. The processes stay together until they end. Raises AutosegError for a device that several cannot
    share, and LostConnectionError where another process is gone.
    """
    try:
        if not _joined and is_torchrun():
            join(_from_environment(), device)
        yield device_of(world(), device)
    except RuntimeError as error:
        if world().size == 1 or not is_of_connection(error):
            raise
        raise LostConnectionError(f"Process {world().rank} of {world().size} lost the others, as one of them has ended. The "
                                  "message of that one says why.") from error


def join(here: World, device: str, store: str = "env://") -> None:
    """Meet the other processes. store: where, as torch's `init_method` names it."""
    name = device_of(here, device)
    if here.local_size == here.size and os.path.exists("/sys/class/net/lo"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a host's name need not lead anywhere
    if name.startswith("cuda"):
        torch.cuda.set_device(name)
    else:
        torch.set_num_threads(min(here.cores, torch.get_num_threads()))
    backend = "cpu:gloo,cuda:nccl" if name.startswith("cuda") else "gloo"
    distributed.init_process_group(backend, init_method=store, rank=here.rank, world_size=here.size, timeout=TIMEOUT)
    atexit.register(distributed.destroy_process_group)
    _joined.append(here)


def device_of(here: World, device: str) -> str:
    """Return the name of a process's own device. Raises AutosegError where it has none."""
    if here.size == 1:
        return device
    if device not in ("auto", "cpu", "cuda"):
        raise AutosegError(f"--device {device} is one device, and each of {here.size} processes takes one of its own. Give "
                           "--device cuda or cpu, or train in one process.")
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    require_gpus(here.local_size)
    return f"cuda:{here.local_rank}"


def require_gpus(count: int) -> None:
    """Raise AutosegError where this machine has fewer CUDA devices."""
    if (there := torch.cuda.device_count()) < count:
        fewer = f"Take fewer (--gpus {there}), or add" if there else "Add"
        raise AutosegError(f"{count} GPUs were asked for, and this machine has {there} that torch can use. {fewer} --device cpu "
                           "for as many processes on the CPU, which share its cores.")


def is_of_connection(error: BaseException) -> bool:
    """Tell whether an error came up because another process is gone."""
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in LOST)


def _from_environment() -> World:
    """Return the world that torchrun's variables describe. Raises AutosegError where one is no number."""
    try:
        rank, size, local_rank = (int(os.environ[name]) for name in VARIABLES[:3])
        return World(rank, size, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
    except ValueError as error:
        raise AutosegError(f"RANK, WORLD_SIZE and LOCAL_RANK are set, as torchrun sets them, but not to numbers ({error}). "
                           "Start the training by torchrun, or unset them.") from error
