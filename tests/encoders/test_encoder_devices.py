"""Several devices: a process for each, the bytes of one, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from negmine.encoders.loading import devices
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.encoders.workers import Workers
from negmine.errors import ConfigError, InputError, NegmineError

TWO = ("cpu", "cpu")


def texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcde fghij klmno"), rng.integers(1, 90))) + f" {i}" for i in range(count)]


def processes() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


@pytest.fixture
def made() -> Iterator[Callable[..., SentenceTransformerEncoder]]:
    """Make encoders that are closed after the test."""
    encoders = []

    def make(folder: Path, **settings: Any) -> SentenceTransformerEncoder:
        encoders.append(SentenceTransformerEncoder(folder, Settings(**{"device": TWO, **settings})))
        return encoders[-1]

    yield make
    for encoder in encoders:
        encoder.close()


def test_two_processes_give_the_bytes_of_one(made: Any, bert_model: Path) -> None:
    """Of passages and queries, in their order, with the model's prompts; and stop when told to."""
    settings: dict[str, Any] = {"truncate_dim": 24, "max_seq_length": 60, "threads": 1}
    one, two = made(bert_model, device="cpu", **settings), made(bert_model, **settings)
    assert processes() == []
    steps: list[int] = []
    passages, queries = texts(150), texts(40, seed=1)
    assert two.encode_passages(passages, steps.append).tobytes() == one.encode_passages(passages).tobytes()
    assert sum(steps) == len(passages)
    pids = processes()
    assert len(set(pids)) == 2
    assert two.encode_queries(queries).tobytes() == one.encode_queries(queries).tobytes()
    assert processes() == pids  # they stay between calls
    two.close()
    assert processes() == []
    two.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_a_killed_process_is_an_error_and_ends_the_others(made: Any, bert_model: Path) -> None:
    encoder = made(bert_model)
    killed = []

    def kill(done: int) -> None:
        if not killed:
            killed.append(processes()[0])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(NegmineError, match=r"embed.device: the worker process of device 'cpu' ended \(signal 9\)"):
        encoder.encode_passages(texts(5000), kill)
    assert killed
    assert processes() == []
    assert encoder.encode_passages(texts(3)).shape == (3, 32)


def close_all_and_be_killed() -> None:
    os.closerange(3, 1024)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_connection_waits_for_the_process_that_is_about_to_be_gone() -> None:
    """A killed process closes its connections, and what tells of its end, a moment before it counts as ended."""

    class Model:
        def start_multi_process_pool(self, devices: list[str]) -> dict[str, Any]:
            process = multiprocessing.get_context("spawn").Process(target=close_all_and_be_killed)
            process.start()
            return {"processes": [process]}

        def stop_multi_process_pool(self, pool: dict[str, Any]) -> None:
            pool["processes"][0].join()

    def encode(pool: dict[str, Any], call: int) -> np.ndarray:
        multiprocessing.connection.wait([pool["processes"][0].sentinel])
        raise ConnectionResetError("Connection reset by peer")

    with pytest.raises(NegmineError, match=r"the worker process of device 'cpu' ended \(signal 9\)") as error:
        list(Workers(Model(), ["cpu"]).map(encode, [1]))
    assert isinstance(error.value.__cause__, ConnectionResetError)


@pytest.mark.slow
def test_what_fails_in_a_process_is_told_as_without_one(made: Any, tmp_path: Path, capfd: Any) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Transformer
    from tiny_models import save_plain_bert

    plain = save_plain_bert(tmp_path / "plain")
    model = SentenceTransformer(modules=[Transformer(str(plain))], device="cpu")
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    capfd.readouterr()
    with pytest.raises(InputError, match="it has no pooling"):
        made(tmp_path / "model").encode_passages(texts(5))
    assert processes() == []
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_an_error_of_the_caller_ends_the_processes(made: Any, bert_model: Path) -> None:
    def stop(done: int) -> None:
        assert len(processes()) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(bert_model).encode_passages(texts(30), stop)
    assert processes() == []


def test_processes_that_cannot_be_started_are_told_with_the_reason(
    made: Any, bert_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = made(bert_model)
    kind = type(encoder._model)
    real, started = kind.start_multi_process_pool, []

    def full(model: Any, target_devices: list[str]) -> Any:
        if started:
            raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")
        started.append(real(model, target_devices))
        return started[0]

    monkeypatch.setattr(kind, "start_multi_process_pool", full)
    with pytest.raises(InputError, match=r"No space left on device .28.*/dev/shm"):
        encoder.encode_passages(texts(3))
    assert started
    assert processes() == []
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_static_embeddings_need_no_second_process(made: Any, static_model: Path, router_model: Path) -> None:
    """They are refused, but for the part of a Router, which is done here."""
    with pytest.raises(ConfigError, match=r"static embeddings .* Name a single device, such as cpu"):
        made(static_model)
    router, one = made(router_model), made(router_model, device="cpu")
    assert router.encode_queries(texts(9)).tobytes() == one.encode_queries(texts(9)).tobytes()
    assert processes() == []


@pytest.mark.parametrize(
    ("settings", "gpus", "expected"),
    [
        ({"device": "auto"}, 3, ()),
        ({"device": "auto", "every_gpu": True}, 3, ("cuda:0", "cuda:1", "cuda:2")),
        ({"device": "auto", "every_gpu": True}, 1, ()),
        ({"device": "auto", "every_gpu": True}, 0, ()),
        ({"device": "auto", "every_gpu": True, "backend": "onnx"}, 3, ()),
        ({"device": "cuda", "every_gpu": True}, 3, ()),
        ({"device": ("cuda:2", "cuda:1")}, 3, ("cuda:2", "cuda:1")),
        ({"device": ("cuda:2",)}, 3, ()),
    ],
)
def test_auto_is_every_gpu_where_that_is_wanted(
    settings: dict[str, Any], gpus: int, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert devices(Settings(**settings)) == expected


def test_every_device_of_a_list_is_looked_for(made: Any, bert_model: Path) -> None:
    with pytest.raises(ConfigError, match="there is no device 'cuda:17' here"):
        made(bert_model, device=("cpu", "cuda:17"))


PROGRAM = """
import multiprocessing, sys, time
from pathlib import Path
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings

if __name__ == "__main__":
    encoder = SentenceTransformerEncoder(Path(sys.argv[1]), Settings(device=("cpu", "cpu")))
    encoder.encode_passages(["a text", "another text of more words"])
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    while True:
        encoder.encode_passages([f"{'a' * (i % 50)} {i}" for i in range(500)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_the_program_is_ended(sent: signal.Signals, bert_model: Path, tmp_path: Path) -> None:
    """A Ctrl-C goes to all of them at once, and is heard by the program alone."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(bert_model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        if sent == signal.SIGINT:
            os.killpg(program.pid, sent)
        else:
            os.kill(program.pid, sent)
        program.wait(30)
        errors = program.stderr.read() if program.stderr is not None else ""
    for _ in range(300):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            break
        time.sleep(0.1)
    else:
        pytest.fail("a process is left")
    assert errors.count("KeyboardInterrupt") == (sent == signal.SIGINT)
    assert "Process Spawn" not in errors
    assert sent != signal.SIGINT or "leaked" not in errors


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_what_it_lacks(bert_model: Path, tmp_path: Path) -> None:
    program = PROGRAM.replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py"), str(bert_model)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1
    assert "must do so under: if __name__ == '__main__'" in ended.stderr.splitlines()[-1]
