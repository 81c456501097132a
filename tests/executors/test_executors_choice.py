"""Which engine runs, and what is refused before any work."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from small_run import environment, make_run

from negmine.config import config_from_dict, load_config
from negmine.errors import ConfigError, MissingDependencyError
from negmine.executors import LocalExecutor, RayExecutor, engine
from negmine.executors.cluster import connected
from negmine.executors.ray import _Pool
from negmine.pipeline import run
from negmine.stages import STAGES

LEAST = {"data": {"pairs": "p.jsonl"}, "embed": {"model": "m"}}


def test_the_engine_of_the_config_runs() -> None:
    """local unless the config says ray."""
    with engine(config_from_dict(LEAST)) as executor:
        assert type(executor) is LocalExecutor
    pytest.importorskip("ray")
    with engine(config_from_dict({**LEAST, "engine": {"kind": "ray"}})) as executor:
        assert type(executor) is RayExecutor


def test_without_ray_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 8 with what to install."""
    config = load_config(make_run(tmp_path), ["engine.kind=ray"])
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'negmine\[ray\]'") as error:
        run(config)
    assert error.value.exit_code == 8
    assert not (tmp_path / "work" / ".pending").exists()


def test_without_ray_the_command_ends_with_8(tmp_path: Path) -> None:
    """One line on stderr."""
    import subprocess

    blocked = "import sys; sys.modules['ray'] = None; from negmine.cli.main import main; main()"
    words = ["run", "-c", str(make_run(tmp_path)), "--set", "engine.kind=ray"]
    done = subprocess.run(
        [sys.executable, "-c", blocked, *words], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 8
    assert done.stderr.count("\n") == 1
    assert "the package ray is not installed" in done.stderr


def test_no_cluster_on_this_machine_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`address: auto` starts none itself."""
    ray = pytest.importorskip("ray")

    def refuse(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConfigError, match="there is no Ray cluster that runs on this machine") as error:
        run(load_config(make_run(tmp_path), ["engine.kind=ray"]))
    assert "ray start --head" in str(error.value)
    assert not (tmp_path / "work" / "ingest").exists()


def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path: Path) -> None:
    """Without Ray's own minute of trying."""
    pytest.importorskip("ray")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"the cluster '{address}' cannot be used"):
            run(load_config(make_run(tmp_path), ["engine.kind=ray", f"engine.address='{address}'"]))


def test_what_a_cluster_reports_stays_out_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the moment of the connection: a machine may have been lost just before."""
    ray = pytest.importorskip("ray")

    def report(**options: object) -> None:
        data = {"lines": ["a node has been marked dead"], "pid": "raylet", "is_err": False}
        ray._private.worker.print_to_stdstream(data, ignore_prefix=False)

    report()
    assert "marked dead" in capsys.readouterr().out
    monkeypatch.setattr(ray, "init", report)
    monkeypatch.setattr(ray, "shutdown", report)
    with connected(config_from_dict({**LEAST, "engine": {"kind": "ray"}})):
        report()
    assert capsys.readouterr().out == ""


def node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("overrides", "embed", "mine"),
    [
        ((), 2 + 4, 7 + 5 + 2),
        (("engine.cpus_per_worker=2",), 2 + 4, 3 + 4 + 1),
        (("engine.gpus_per_worker=0.5",), 4 + 5, 7 + 5 + 2),
        (("engine.gpus_per_worker=2",), 1 + 2, 7 + 5 + 2),
        (("engine.gpus_per_worker=0",), 7 + 5 + 2, 7 + 5 + 2),
        (("embed.device=cpu",), 7 + 5 + 2, 7 + 5 + 2),
        (("engine.workers=3",), 3, 3),
    ],
)
def test_workers_fill_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], embed: int, mine: int
) -> None:
    """By CPUs, GPUs while a model runs, and memory; machines that are gone do not count."""
    ray = pytest.importorskip("ray")
    nodes = [
        node(CPU=7, GPU=2, memory=64e9),
        node(CPU=8, GPU=4, memory=5.5e9),
        node(CPU=2, memory=64e9),
        node(alive=False, CPU=99, GPU=99, memory=64e9),
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 6.0})
    text = make_run(tmp_path).read_text()
    (tmp_path / "config.yaml").write_text(
        text.replace("vectors: {corpus: corpus.npy, queries: queries.npy}", "model: ./model")
    )
    (tmp_path / "model").mkdir()
    config = load_config(tmp_path / "config.yaml", ["engine.kind=ray", "memory_limit=1.1GB", *overrides])
    executor = RayExecutor(config)
    rooms = [_Pool(config, executor._need(STAGES[stage]), tmp_path).room() for stage in ("embed", "mine")]
    assert rooms == [embed, mine]


@pytest.mark.slow
def test_a_cluster_of_this_machine_is_started_for_the_run(tmp_path: Path) -> None:
    """`address: local` needs nothing that runs already, and leaves nothing running."""
    ray = pytest.importorskip("ray")
    file = make_run(tmp_path, passages=48, queries=12, part_rows=24, part_queries=6)
    run(load_config(file, ["engine.kind=ray", "engine.address=local", "threads=1", "memory_limit=200MB"]))
    assert not ray.is_initialized()
    assert (tmp_path / "work" / "export" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"engine": {"workers": 2}}, "engine.workers: applies only to a Ray cluster"),
        ({"engine": {"kind": "local", "address": "local"}}, "engine.address: applies only to a Ray cluster"),
        ({"engine": {"kind": "ray", "address": "ray://head:10001"}}, "expected auto, local or host:port"),
        ({"engine": {"kind": "ray", "address": "head"}}, "expected auto, local or host:port"),
        ({"engine": {"kind": "ray", "gpus_per_worker": 1.5}}, "above 1 only whole GPUs"),
        ({"engine": {"kind": "ray", "gpus_per_worker": -1}}, "expected 'auto' or a number of at least 0"),
        ({"engine": {"kind": "ray", "cpus_per_worker": 0}}, "engine.cpus_per_worker"),
        (
            {"engine": {"kind": "ray"}, "embed": {"model": "m", "device": "cuda:1"}},
            "Ray gives each worker its own",
        ),
        (
            {"engine": {"kind": "ray"}, "embed": {"model": "m", "device": ["cpu", "cpu"]}},
            "embed.device: a list names devices, but Ray gives each worker its own",
        ),
        (
            {"engine": {"kind": "ray", "gpus_per_worker": 1}, "embed": {"model": "m", "device": "cpu"}},
            "no worker would use its GPU: embed.device is cpu",
        ),
        (
            {
                "engine": {"kind": "ray", "gpus_per_worker": 1},
                "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            },
            "no worker would use its GPU: there is no model to run",
        ),
    ],
)
def test_settings_that_cannot_apply_are_refused(sections: dict[str, object], text: str) -> None:
    """No option is silently ignored."""
    with pytest.raises(ConfigError) as error:
        config_from_dict({**LEAST, **sections})
    assert text in str(error.value)


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "head.cluster:6379", "[::1]:6379"])
def test_addresses_of_clusters(address: str) -> None:
    """What `ray start --head` prints can be given."""
    assert config_from_dict({**LEAST, "engine": {"kind": "ray", "address": address}}).engine.address == address
