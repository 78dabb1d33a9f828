"""One process or many: what `torchrun` started, how a network is spread over them, and how they agree.

Knows PyTorch's own engine only: DDP [1]_ where each process holds all weights, FSDP2 [2]_ where each holds a share.
Without torchrun there is one process and nothing is spread.

References
----------
.. [1] Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
.. [2] Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023; `fully_shard`.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

TIME_LIMIT = timedelta(minutes=10)
"""How long a process waits for the others, a validation included."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes
    ----------
    rank, count : int
        Which one this is, of how many.
    device : torch.device
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and reports."""
        return self.rank == 0

    def share(self, batch: tuple[Tensor, ...], parts: int) -> list[tuple[Tensor, ...]]:
        """Return this process's share of a batch, in so many parts, on its device."""
        pieces = [torch.tensor_split(tensor, self.count * parts) for tensor in batch]
        mine = range(self.rank * parts, (self.rank + 1) * parts)
        return [tuple(piece[index].to(self.device, non_blocking=True) for piece in pieces) for index in mine]

    def sum(self, values: list[float]) -> list[float]:
        """Return the sum of each number over all processes."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each process, on the CPU."""
        if self.count == 1:
            return [tensor]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, tensor)
        return found

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.count > 1:
            dist.barrier()


def join_processes() -> Processes:
    """Join the processes that torchrun started, if it did."""
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    if count > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if has_gpu else "gloo", timeout=TIME_LIMIT)
    return Processes(rank, count, device)


def leave_processes() -> None:
    """Undo `join_processes`."""
    if dist.is_initialized():
        dist.destroy_process_group()


def spread(network: nn.Module, processes: Processes, distribution: str) -> nn.Module:
    """Return a network to call in training: itself, or wrapped in DDP, or with its weights spread by FSDP2.

    With FSDP2 the network itself is changed: its parameters become shares.
    """
    if processes.count == 1:
        return network
    if distribution == "fsdp":
        shard(network)
        return network
    devices = [processes.device] if processes.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=devices)


def shard(network: nn.Module) -> None:
    """Spread the weights of a network over the processes, block by block."""
    from torch.distributed.fsdp import fully_shard

    for block in cast(nn.ModuleList, getattr(network, "blocks", nn.ModuleList())):
        fully_shard(block)
    fully_shard(network)


def without_exchange(network: nn.Module, *, is_last: bool) -> Any:
    """Return a context in which gradients are not exchanged yet: all parts of a batch but the last."""
    if isinstance(network, nn.parallel.DistributedDataParallel) and not is_last:
        return network.no_sync()
    if hasattr(network, "set_requires_gradient_sync"):
        cast(Any, network).set_requires_gradient_sync(is_last)
    return nullcontext()
