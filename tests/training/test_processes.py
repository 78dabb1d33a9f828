"""Several processes give what one gives, and a run goes on with another number of them."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from songwright.cli import main
from songwright.errors import ConfigError, InputError

torch = pytest.importorskip("torch")

from songwright.config import from_mapping  # noqa: E402
from songwright.training.config import TrainingConfig  # noqa: E402
from songwright.training.processes import Processes  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]

CONFIG = """
validate_every = 2
log_every = 1
num_threads = 1
batch_size = 6
precision = "fp32"
channel_dropout = 0.2
[network]
dim = 32
num_layers = 2
num_heads = 2
hidden_dim = 64
context_length = 64
dropout = 0.0
[optimizer]
kind = "adamw"
"""


@pytest.fixture(scope="module")
def start(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that start a run."""
    path = tmp_path_factory.mktemp("config") / "run.toml"
    path.write_text(CONFIG)
    return ["train", str(path), "--corpus", str(corpus)]


def start_two(*words: str) -> subprocess.Popen[str]:
    """Start a command in two processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "songwright"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run_two(*words: str) -> None:
    with start_two(*words) as job:
        try:
            printed, _ = job.communicate(timeout=300)
        finally:
            job.kill()
    assert job.returncode == 0, printed


def losses(out: Path) -> list[float]:
    with (out / "steps.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


# The warm-up outlasts the run, so that rates do not depend on how long a part of the run was meant to be.
WORDS = ["--set", "optimizer.warmup_steps=60"]


@pytest.fixture(scope="module")
def one(start: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    out = tmp_path_factory.mktemp("one")
    assert main([*start, *WORDS, "--out", str(out), "--set", "num_steps=6"]) == 0
    assert len(losses(out)) == 6
    return losses(out)


@pytest.mark.parametrize("distribution", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one_and_their_checkpoint_goes_on_with_one_and_back(
    start, one, tmp_path, distribution
):
    words = [*start, *WORDS, "--out", str(tmp_path), "--set", f"distribution={distribution}", "--set", "accumulate=2"]
    run_two(*words, "--set", "num_steps=2")
    assert main([*words, "--set", "num_steps=4", "--resume"]) == 0
    run_two(*words, "--set", "num_steps=6", "--resume")
    assert losses(tmp_path) == pytest.approx(one, abs=1e-4)


def test_a_killed_process_ends_the_job_in_words_and_leaves_a_checkpoint(start, tmp_path):
    words = [*start, "--out", str(tmp_path)]
    forever = ["--set", "num_steps=100000", "--set", "save_every=2", "--set", "validate_every=100000"]
    with start_two(*words, *forever) as job:
        try:
            deadline = time.monotonic() + 120
            while not (tmp_path / "last.pt").exists() and time.monotonic() < deadline:
                time.sleep(0.2)
            os.kill(second_process(job.pid), signal.SIGKILL)
            printed, _ = job.communicate(timeout=120)
        finally:
            job.kill()
    assert job.returncode != 0
    assert re.search(r"another process of this run has died at step \d+; .*last\.pt holds step \d+", printed), printed
    steps = int(torch.load(tmp_path / "last.pt", weights_only=True)["step"])
    assert main([*words, "--resume", "--set", f"num_steps={steps + 2}"]) == 0


def second_process(job: int) -> int:
    """Return the process of rank 1 that torchrun, process `job`, has started."""
    children = Path(f"/proc/{job}/task/{job}/children").read_text().split()
    (found,) = [
        int(child) for child in children if b"RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    ]
    return found


def test_a_batch_is_shared_without_loss_or_repetition():
    batch = (torch.arange(10), torch.arange(20).view(10, 2))
    shares = [Processes(rank, 3, torch.device("cpu")).share(batch, 2) for rank in range(3)]
    assert torch.equal(torch.cat([part[0] for share in shares for part in share]), batch[0])
    assert torch.equal(torch.cat([part[1] for share in shares for part in share]), batch[1])


def test_a_batch_too_small_to_share_is_refused(corpus, tmp_path):
    from songwright.training.trainer import Trainer

    config = from_mapping(TrainingConfig, {"batch_size": 2, "accumulate": 3, "num_threads": 1})
    with pytest.raises(InputError, match="batch_size 2 cannot be shared"):
        Trainer(config, corpus, tmp_path, report=print)


def test_shares_of_weights_need_an_optimizer_that_works_on_shares():
    with pytest.raises(ConfigError, match="Muon needs whole matrices"):
        from_mapping(TrainingConfig, {"distribution": "fsdp"})
