"""The training loop: schedule, averaged weights, checkpoints, one process or many. What is learned is a `Task`.

A step is: draw a batch (every process the same), each process reads its share in parts and adds up the gradient of the
summed loss, gradients are exchanged, and their sum is divided by the number of targets in the whole batch. So the loss
of a step does not depend on how many processes and parts it was spread over.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from songwright.errors import InputError, TrainingError
from songwright.training.checkpoints import read_checkpoint, write_checkpoint
from songwright.training.config import TrainingConfig
from songwright.training.interruption import StopRequest
from songwright.training.logs import STEPS, VALIDATIONS, RunLog
from songwright.training.optimizers import learning_rate_factor, make_optimizers
from songwright.training.processes import Processes, join_processes, shard, spread, without_exchange
from songwright.training.task import Task
from songwright.training.tasks import make_task

REPORT_SECONDS = 10.0
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Trainer:
    """One run: `train()` goes from where the checkpoint stands to the last step.

    Parameters
    ----------
    config : TrainingConfig
    corpus : Path
        A prepared corpus.
    out : Path
        Folder for `last.pt`, `best.pt`, `steps.csv`, `log.csv` and `events/`.
    report : callable
        Called with one line of text at each validation and every ten seconds between.
    resume : bool
        Go on from `last.pt` in `out`.
    initial_weights : mapping of str to Tensor, optional
        Weights to start from, in place of fresh ones.
    on_validation : callable, optional
        Called by the first process after each validation with the path of the new checkpoint and the step.
    task : Task, optional
        What to learn, in place of what the config says.
    """

    def __init__(
        self,
        config: TrainingConfig,
        corpus: Path,
        out: Path,
        *,
        report: Callable[[str], None],
        resume: bool = False,
        initial_weights: Mapping[str, Tensor] | None = None,
        on_validation: Callable[[Path, int], None] | None = None,
        task: Task | None = None,
    ) -> None:
        self.processes: Processes = join_processes()
        self.device = self.processes.device
        if config.batch_size < self.processes.count * config.accumulate:
            raise InputError(
                f"batch_size {config.batch_size} cannot be shared by {self.processes.count} processes in "
                f"{config.accumulate} parts each; raise batch_size or lower accumulate"
            )
        torch.manual_seed(config.seed)
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        self.config, self.out, self.report, self.on_validation = config, out, report, on_validation
        self.task: Task = task or make_task(config, corpus)
        self.network = self.task.network.to(self.device)
        if initial_weights is not None:
            self.network.load_state_dict(initial_weights)
        # `to` puts the weights of recurrent cells side by side again, as GPUs want them.
        self.average = copy.deepcopy(self.network).to(self.device)
        self.training_network = spread(self.network, self.processes, config.distribution)
        if self.is_sharded:
            shard(self.average)
        self.optimizers = make_optimizers(self.network, config.optimizer)
        self.step, self.seconds, self.best, self.stale = 0, 0.0, float("inf"), 0
        self.running = float("nan")
        if resume:
            self._load(out / "last.pt")
        else:
            # Processes drop other activations, from the same weights.
            torch.manual_seed(config.seed + self.processes.rank)
        self.is_stopped, self.is_interrupted = False, False
        if self.processes.is_first:
            out.mkdir(parents=True, exist_ok=True)
            self.log = RunLog(out, step=self.step)

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds a share of the weights only."""
        return self.config.distribution == "fsdp" and self.processes.count > 1

    @property
    def done(self) -> float:
        """Share of the run that is over, 0 to 1: of its minutes if it has any, else of its steps."""
        if self.config.minutes:
            return self.seconds / (60 * self.config.minutes)
        return self.step / self.config.num_steps

    def train(self) -> dict[str, float]:
        """Run to the last step, or to a signal; return the figures of the last validation.

        Raises
        ------
        TrainingError
            If the loss is no number, or another process of the run has died. `last.pt` is the latest good state.
        OutputError
            If a checkpoint cannot be written.
        """
        with StopRequest() as stop:
            try:
                return self._train(stop)
            except RuntimeError as error:
                if self.processes.count > 1 and _is_lost_connection(error):
                    stop.keep()  # torchrun ends the others with SIGTERM as soon as it sees that one has died
                    raise TrainingError(
                        f"process {self.processes.rank}: another process of this run has died at step {self.step}; "
                        f"{self._saved_state()}; start it again with --resume"
                    ) from error
                raise
            finally:
                if self.processes.is_first:
                    self.log.close()

    def _train(self, stop: StopRequest) -> dict[str, float]:
        config, figures = self.config, dict[str, float]()
        reported, since, seen = time.monotonic(), time.monotonic(), 0
        self.network.train()
        while self.done < 1 and not self.is_stopped:
            began = time.monotonic()
            rate, value, count, is_asked = self._step(stop)
            self.step += 1
            # All processes count the first one's seconds, so that they agree on what is left.
            (elapsed,) = self.processes.sum([time.monotonic() - began if self.processes.is_first else 0.0])
            self.seconds += elapsed
            seen += count
            self.running = value if np.isnan(self.running) else 0.98 * self.running + 0.02 * value
            pace = seen / max(time.monotonic() - since, 1e-9)
            if self.processes.is_first:
                if self.step % config.log_every == 0:
                    row = {"step": self.step, "loss": value, "learning_rate": rate, "tokens_per_second": round(pace)}
                    self.log.write(STEPS, row)
                if time.monotonic() - reported > REPORT_SECONDS:
                    reported = time.monotonic()
                    left = max(self.seconds / self.done * (1 - self.done), 0)
                    self.report(
                        f"step {self.step}  loss {self.running:.3f}  {pace:,.0f} tokens/s  {_spoken(left)} left"
                    )
            if self.step % config.validate_every == 0 or self.done >= 1:
                figures = self.validate_and_save()
                since, seen = time.monotonic(), 0
            elif is_asked or (config.save_every and self.step % config.save_every == 0):
                self._save("last.pt")
            if is_asked:
                self.is_stopped = self.is_interrupted = True
                self._say(f"stopped at step {self.step}; {self.out / 'last.pt'} holds it, --resume goes on")
            elif config.patience and self.stale >= config.patience:
                self.is_stopped = True
                self._say(f"stopped early at step {self.step}: no better figure in {self.stale} validations")
        return figures

    def _step(self, stop: StopRequest) -> tuple[float, float, int, bool]:
        """Take one optimizer step; return (learning rate, loss, targets, whether a signal came to any process)."""
        config, processes = self.config, self.processes
        batch = self.task.sampler.next_batch()
        rate = config.optimizer.learning_rate * learning_rate_factor(
            self.step, self.done, config.optimizer.warmup_steps
        )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        parts = processes.share(batch, config.accumulate)
        total, count = 0.0, 0
        for number, part in enumerate(parts):
            with (
                without_exchange(self.training_network, is_last=number + 1 == len(parts)),
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_half),
            ):
                loss, targets = self.task.loss(self.training_network, part, progress=self.done)
                loss.backward()
            total, count = total + float(loss.detach()), count + int(targets)
        summed, counted, asked = processes.sum([total, float(count), float(stop.is_made)])
        value = summed / max(counted, 1)
        if not np.isfinite(value):
            raise TrainingError(
                f"{self.out}: the loss is not a number at step {self.step + 1}; {self._saved_state()}; "
                "lower optimizer.learning_rate and go on with --resume"
            )
        # Wrappers return the mean over processes of the gradients of sums; what is wanted is the mean over targets.
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, processes.count / max(counted, 1))  # pyright: ignore
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._update_average()
        return rate, value, int(counted), asked > 0

    @property
    def is_half(self) -> bool:
        """Whether products are in bfloat16."""
        return self.config.precision == "bf16" or (self.config.precision == "auto" and has_bfloat16(self.device))

    def validate(self) -> dict[str, float]:
        """Return the figures of held-out music under the averaged weights."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_half):
            return self.task.validate(self.average, self.device)

    def validate_and_save(self) -> dict[str, float]:
        """Validate, log and write `last.pt`, and `best.pt` if there was no better figure; return the figures."""
        figures = self.validate()
        value = figures[self.task.criterion]
        is_better = value < self.best
        self.stale = 0 if is_better else self.stale + 1
        if self.processes.is_first:
            self.log.write(VALIDATIONS, {"step": self.step, "train_loss": self.running, **figures})
            self.report("  ".join([f"step {self.step}", *(f"{name} {found:.3f}" for name, found in figures.items())]))
        # The best first: a run that is resumed from last.pt then knows how good best.pt is.
        self.best = min(self.best, value)
        self._save(*(["best.pt"] if is_better else []), "last.pt")
        if self.on_validation and self.processes.is_first:
            self.on_validation(self.out / "last.pt", self.step)
        self.processes.wait()
        return figures

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows closely, so that it does not carry the initial weights along.
        decay = min(self.config.optimizer.average_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(  # pyright: ignore
            list(self.average.parameters()), list(self.network.parameters()), 1 - decay
        )

    def _save(self, *names: str) -> None:
        random_states = self.processes.gather(_random_state(self.device))
        # Whole tensors under the names of the parameters: all processes take part in collecting them.
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "fingerprint": self.task.vocabulary_fingerprint,
            "data": self.task.data_fingerprint,
            "network": get_model_state_dict(self.network, options=_WHOLE),
            "average": get_model_state_dict(self.average, options=_WHOLE),
            "optimizers": [
                get_optimizer_state_dict(self.network, optimizer, options=_WHOLE) for optimizer in self.optimizers
            ],
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "stale": self.stale,
            "running": self.running,
            "sampler": self.task.sampler.state(),
            "random": random_states,
        }
        if self.processes.is_first:
            for name in names:
                write_checkpoint(self.out / name, state)

    def _load(self, path: Path) -> None:
        state = read_checkpoint(path)
        if state.get("fingerprint") != self.task.vocabulary_fingerprint:
            raise InputError(
                f"{path}: trained with another vocabulary than {self.config.stream} of this version; train anew"
            )
        if state.get("data") != self.task.data_fingerprint:
            raise InputError(f"{path}: the corpus has changed since; resume with the one it was trained on")
        try:
            for network, name in ((self.network, "network"), (self.average, "average")):
                set_model_state_dict(network, state[name], options=_WHOLE)
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                set_optimizer_state_dict(self.network, optimizer, saved, options=_WHOLE)
            self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
            self.stale, self.running = state["stale"], state["running"]
            self.task.sampler.restore(state["sampler"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: of a network of other sizes; resume with the config of that run") from error
        if self.processes.rank < len(state["random"]):
            _set_random_state(self.device, state["random"][self.processes.rank])
        else:
            torch.manual_seed(self.config.seed + self.processes.rank + self.step)

    def _saved_state(self) -> str:
        saved: dict[str, Any] = {}
        with suppress(InputError):
            saved = read_checkpoint(self.out / "last.pt")
        return f"{self.out / 'last.pt'} holds step {saved['step']}" if saved else "no checkpoint was written yet"

    def _say(self, text: str) -> None:
        if self.processes.is_first:
            self.report(text)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 by itself; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())  # pyright: ignore[reportPrivateUsage]


def _random_state(device: torch.device) -> Tensor:
    """Return the state of the generator that drops activations on a device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def _is_lost_connection(error: RuntimeError) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("connection", "gloo", "nccl", "peer", "timed out", "socket"))


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
