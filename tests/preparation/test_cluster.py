from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from songwright.cli import main
from songwright.corpus.sources import find_files
from tests.corpora import bytes_of, make, write_song

pytest.importorskip("ray")

RUN = "import sys; from songwright.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.pipeline
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are found through /proc")
def test_a_cluster_that_loses_a_worker_makes_the_corpus_of_one_process(tmp_path):
    for seed in range(130):  # three batches
        write_song(tmp_path / "music" / f"{seed:03}.mid", seed)
    make(find_files(tmp_path / "music"), tmp_path / "one")
    killed: list[int] = []

    def kill_one_worker() -> None:
        while not killed:
            time.sleep(0.05)
            for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if file.read().startswith(b"ray::Map"):
                            os.kill(pid, 9)
                            killed.append(pid)
                            return
                except OSError:
                    continue

    words = ["prepare", str(tmp_path / "music"), "--out", str(tmp_path / "two"), "--engine", "ray", "--workers", "2"]
    command = subprocess.Popen([sys.executable, "-c", RUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    threading.Thread(target=kill_one_worker, daemon=True).start()
    output, errors = command.communicate(timeout=240)
    assert command.returncode == 0, errors.decode()
    assert killed
    assert b"130 pieces" in output
    assert bytes_of(tmp_path / "two") == bytes_of(tmp_path / "one")


def test_a_cluster_that_cannot_be_reached_is_one_sentence(tmp_path, capsys):
    write_song(tmp_path / "music" / "a.mid", 0)
    words = ["prepare", str(tmp_path / "music"), "--out", str(tmp_path / "c"), "--engine", "ray"]
    assert main([*words, "--address", "127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert "127.0.0.1:1 cannot be reached" in error
    assert error.count("\n") == 1
