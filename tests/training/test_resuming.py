"""A run that is stopped, however rudely, goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from songwright.composition.weights import find_style
from songwright.corpus.sources import find_files
from songwright.errors import InputError, TrainingError
from tests.corpora import make

torch = pytest.importorskip("torch")

from songwright.config import from_mapping  # noqa: E402
from songwright.training.config import TrainingConfig  # noqa: E402
from songwright.training.trainer import Trainer  # noqa: E402

NETWORK = {"dim": 32, "num_layers": 1, "num_heads": 2, "hidden_dim": 64, "context_length": 64, "dropout": 0.2}


def config(**values) -> TrainingConfig:
    options = {"num_threads": 1, "batch_size": 4, "channel_dropout": 0.2, "log_every": 1, "validate_every": 40}
    return from_mapping(TrainingConfig, {**options, "network": NETWORK, **values})


def trainer(options: TrainingConfig, corpus: Path, out: Path, *, resume: bool = False, **more) -> Trainer:
    return Trainer(options, corpus, out, report=lambda line: None, resume=resume, **more)


def columns(path: Path, *names: str) -> list[tuple[str, ...]]:
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    return [tuple(row[header.index(name)] for name in names) for row in rows]


@pytest.mark.slow
def test_a_run_killed_ten_times_writes_the_curve_of_one_that_was_not(corpus, tmp_path):
    options = config(num_steps=120, save_every=3)
    trainer(options, corpus, tmp_path / "whole").train()
    out, rng, kills = tmp_path / "killed", random.Random(0), 0
    while kills < 10:
        child = os.fork()
        if not child:  # the child trains until it is killed
            trainer(options, corpus, out, resume=(out / "last.pt").exists()).train()
            os._exit(0)
        has_begun = (out / "last.pt").stat().st_mtime_ns if (out / "last.pt").exists() else 0
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (
            not (out / "last.pt").exists() or (out / "last.pt").stat().st_mtime_ns == has_begun
        ):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break  # it was done before it could be killed
        kills += 1
    assert kills >= 5
    trainer(options, corpus, out, resume=True).train()
    for name, wanted in (("steps.csv", ("step", "loss", "learning_rate")), ("log.csv", ("step", "nats_per_token"))):
        assert columns(out / name, *wanted) == columns(tmp_path / "whole" / name, *wanted)
    whole, killed = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "killed"))
    for name, tensor in whole["network"].items():
        assert torch.equal(tensor, killed["network"][name]), name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_the_run_and_it_goes_on_from_there(corpus, tmp_path, number):
    options = config(num_steps=12)
    first = trainer(options, corpus, tmp_path / "stopped")
    draw = first.task.sampler.next_batch

    def draw_and_signal():
        if first.step == 4:
            os.kill(os.getpid(), number)
        return draw()

    first.task.sampler.next_batch = draw_and_signal
    handler = signal.getsignal(number)
    first.train()
    assert first.is_interrupted
    assert signal.getsignal(number) is handler
    assert torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)["step"] == 5
    trainer(options, corpus, tmp_path / "stopped", resume=True).train()
    trainer(options, corpus, tmp_path / "whole").train()
    assert columns(tmp_path / "stopped" / "steps.csv", "step", "loss") == columns(
        tmp_path / "whole" / "steps.csv", "step", "loss"
    )


def test_a_loss_that_is_no_number_stops_the_run_before_the_weights_are_harmed(corpus, tmp_path):
    run = trainer(config(num_steps=8, save_every=2), corpus, tmp_path)
    whole_loss = run.task.loss

    def loss(network, batch, *, progress):
        total, count = whole_loss(network, batch, progress=progress)
        return (total * float("nan") if run.step == 5 else total), count

    run.task.loss = loss
    with pytest.raises(TrainingError, match=r"not a number at step 6; .*last\.pt holds step 4; lower"):
        run.train()
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in saved["network"].values())
    assert all(parameter.isfinite().all() for parameter in run.network.parameters())


def test_a_run_stops_early_where_nothing_gets_better(corpus, tmp_path, monkeypatch):
    figures = iter([3.0, 2.0, 2.5, 2.0, 1.0])
    monkeypatch.setattr(Trainer, "validate", lambda self: {"nats_per_token": next(figures)})
    run = trainer(config(num_steps=50, validate_every=2, patience=2), corpus, tmp_path)
    run.train()
    assert (run.step, run.best, run.is_stopped) == (8, 2.0, True)


def test_parts_of_a_batch_add_up_to_the_batch(corpus, tmp_path):
    network = {**NETWORK, "dropout": 0.0}
    options = [config(num_steps=6, precision="fp32", network=network, accumulate=parts) for parts in (1, 3)]
    for number, values in enumerate(options):
        trainer(values, corpus, tmp_path / str(number)).train()
    whole, parts = ([float(loss) for (loss,) in columns(tmp_path / name / "steps.csv", "loss")] for name in ("0", "1"))
    assert parts == pytest.approx(whole, abs=1e-4)


def test_a_run_is_not_resumed_on_other_music(corpus, tiny_pop909, tmp_path):
    trainer(config(num_steps=1), corpus, tmp_path / "run").train()
    fewer = [file for file in find_files(tiny_pop909 / "POP909") if "002" not in str(file)]
    make(fewer, tmp_path / "other")
    with pytest.raises(InputError, match="the corpus has changed since"):
        trainer(config(num_steps=2), tmp_path / "other", tmp_path / "run", resume=True)


def test_every_step_is_logged_for_tensorboard_too(corpus, tmp_path):
    trainer(config(num_steps=2), corpus, tmp_path).train()
    (events,) = (tmp_path / "events").iterdir()
    assert b"training/loss" in events.read_bytes()
    assert b"validation/nats_per_token" in events.read_bytes()


def test_a_checkpoint_is_handed_over_after_each_validation(corpus, tmp_path):
    seen = []
    trainer(
        config(num_steps=4, validate_every=2),
        corpus,
        tmp_path,
        on_validation=lambda path, step: seen.append((path, step)),
    ).train()
    assert seen == [(tmp_path / "last.pt", 2), (tmp_path / "last.pt", 4)]


def test_a_student_comes_nearer_to_its_teacher_than_by_itself(corpus, tmp_path):
    options = {"learning_rate": 0.01, "warmup_steps": 5, "average_decay": 0.9}
    teacher = config(num_steps=60, network={**NETWORK, "dim": 64, "dropout": 0.0}, optimizer=options)
    trainer(teacher, corpus, tmp_path / "teacher").train()
    taught = config(
        num_steps=20, teachers=[str(tmp_path / "teacher" / "best.pt")], optimizer=options,
        distillation={"weight": 1.0, "temperature": 1.0},
    )  # fmt: skip
    student, alone = (
        trainer(values, corpus, tmp_path / name)
        for name, values in (("student", taught), ("alone", config(num_steps=20, optimizer=options)))
    )
    student.train()
    alone.train()
    batch = student.task.sampler.next_batch()
    with torch.no_grad():
        wanted = student.task._teach(*batch[:3])
        distance = [
            float((wanted.exp() * (wanted - run.average.eval()(*batch[:3]).log_softmax(-1))).sum(-1).mean())
            for run in (student, alone)
        ]
    assert distance[0] < distance[1]


def test_a_teacher_of_another_stream_is_refused(corpus, tmp_path):
    trainer(config(num_steps=1, stream="arrangement"), corpus, tmp_path / "teacher").train()
    with pytest.raises(InputError, match="learned arrangement, not lead_sheet"):
        trainer(config(num_steps=1, teachers=[str(tmp_path / "teacher" / "last.pt")]), corpus, tmp_path / "student")


def test_the_weights_that_ship_can_teach(corpus, tmp_path):
    path = find_style("pop").weights("lead_sheet", "fp32")
    run = trainer(config(num_steps=1, teachers=[str(path)]), corpus, tmp_path)
    assert run.train()["nats_per_token"] > 0
    assert run.task.teachers[0].config.dim == 192
