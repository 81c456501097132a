"""A small run, an S3 server on loopback, and stores in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from small_run import make_run

from negmine.cli import main as cli_main
from negmine.cli import options
from negmine.cli.console import Console

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "reader",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-shown",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with its data; its work_dir is ``work`` beside it."""
    return make_run(tmp_path, passages=40, queries=8, part_rows=20, part_queries=4)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """The store in memory, empty."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> fsspec.AbstractFileSystem:
    """S3 with a new bucket named ``Bucket.name``; this process and its children have access."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_server, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    if files.exists("bucket"):
        files.rm("bucket", recursive=True)
    files.mkdir("bucket")
    return files


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """``negmine words...`` in this process: exit code, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(options, "_console", Console())
        with pytest.raises(SystemExit) as stop:
            cli_main.main([str(word) for word in words])
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    return run
