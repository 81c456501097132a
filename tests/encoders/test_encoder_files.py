"""Where models are found, which of their files identify them, and what is refused before loading."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from negmine.encoders.model_check import check_model
from negmine.encoders.model_files import model_digests, resolve_model
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.errors import InputError, MissingDependencyError
from negmine.store.digests import file_digest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture
def copy(bert_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_model, tmp_path / "copy"))


def digests(folder: Path, backend: str = "torch") -> dict[str, str]:
    return model_digests(folder, backend, file_digest)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


# Hub


def hub(cache: Path, name: str, model: Path, commit: str = COMMIT, ref: str = "main") -> Path:
    """A model in a cache laid out as the hub client does: blobs, and links to them."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    for file in (path for path in model.rglob("*") if path.is_file()):
        blob = repository / "blobs" / file_digest(file)
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / ref).write_text(commit)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub client, which has no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    return tmp_path / "hub"


def test_a_cached_hub_model_is_found_and_loads_without_network(cache: Path, bert_model: Path) -> None:
    snapshot = hub(cache, "org/tiny", bert_model)
    found = resolve_model("org/tiny")
    assert found == snapshot
    vectors = [SentenceTransformerEncoder(path, Settings()).encode_queries(["dock"]) for path in (found, bert_model)]
    assert (vectors[0] == vectors[1]).all()


def test_environment_variables_of_the_hub_client_are_honoured(tmp_path: Path, static_model: Path) -> None:
    snapshot = hub(tmp_path / "elsewhere", "org/tiny", static_model)
    code = "from negmine.encoders.model_files import resolve_model; print(resolve_model('org/tiny'))"
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "elsewhere"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (str(snapshot), "")


def test_the_cache_folder_of_sentence_transformers_is_honoured(
    cache: Path, tmp_path: Path, static_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = hub(tmp_path / "home", "org/tiny", static_model)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "home"))
    assert resolve_model("org/tiny") == snapshot


def test_a_name_without_organisation_is_one_of_sentence_transformers(cache: Path, static_model: Path) -> None:
    snapshot = hub(cache, "sentence-transformers/tiny", static_model)
    assert resolve_model("tiny") == snapshot


@pytest.mark.parametrize("revision", ["v2", OTHER])
def test_a_revision_picks_its_own_snapshot(revision: str, cache: Path, static_model: Path, tmp_path: Path) -> None:
    hub(cache, "org/tiny", static_model)
    second = hub(cache, "org/tiny", tiny_models.save_static(tmp_path / "v2", seed=9), OTHER, "v2")
    assert resolve_model("org/tiny", revision) == second


def test_a_revision_that_is_not_cached_is_an_error_with_a_next_step(cache: Path, static_model: Path) -> None:
    hub(cache, "org/tiny", static_model)
    with pytest.raises(InputError, match=r"'org/tiny' at revision v3 is not in the local cache.*local folder"):
        resolve_model("org/tiny", "v3")


def test_a_model_that_is_not_cached_is_an_error_with_a_next_step(cache: Path) -> None:
    with pytest.raises(
        InputError, match=r"not in the local cache and cannot be downloaded.*set embed\.model to a"
    ) as e:
        resolve_model("org/absent")
    assert e.value.exit_code == 4


def test_status_does_not_download(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("negmine.encoders.model_files._downloaded", lambda *args: pytest.fail("it tried"))
    with pytest.raises(InputError, match="has not been downloaded yet"):
        resolve_model("org/absent", download=False)


def test_a_snapshot_without_weights_counts_as_not_cached(cache: Path, static_model: Path) -> None:
    (hub(cache, "org/tiny", static_model) / "model.safetensors").unlink()
    with pytest.raises(InputError, match="not in the local cache"):
        resolve_model("org/tiny")


def test_a_snapshot_that_lacks_a_shard_counts_as_not_cached(cache: Path, static_model: Path) -> None:
    snapshot = hub(cache, "org/tiny", static_model)
    (snapshot / "model.safetensors").rename(snapshot / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(InputError, match="not in the local cache"):
        resolve_model("org/tiny")


def test_only_files_of_the_backend_are_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    files = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "onnx/model_O4.onnx",
             "openvino/openvino_model.bin", "tf_model.h5", "1_Pooling/config.json", "2_Dense/model.safetensors",
             ]  # fmt: skip
    real, asked = huggingface_hub.snapshot_download, {}

    def download(name: str, **options: object) -> str:
        if options.get("local_files_only"):
            return str(real(name, **options))
        asked.update(options)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *args, **options: files)
    wanted = {"config.json", "model.safetensors", "1_Pooling/config.json", "2_Dense/model.safetensors"}
    for backend, more in {"torch": set(), "onnx": {"onnx/model.onnx"}, "openvino": {files[5]}}.items():
        resolve_model("org/new", backend=backend)
        assert set(filter_repo_objects(files, ignore_patterns=asked["ignore_patterns"])) == wanted | more


# Folders and packages


def test_a_package_that_is_not_installed_ends_with_code_8() -> None:
    with pytest.raises(MissingDependencyError, match="pip install no-such-package") as caught:
        resolve_model("package://no_such_package/model")
    assert caught.value.exit_code == 8


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist") as caught:
        resolve_model(str(tmp_path / "absent"))
    assert (caught.value.exit_code, caught.value.where) == (4, str(tmp_path / "absent"))


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(InputError, match="is a file, not a folder"):
        resolve_model(str(tmp_path / "model.gguf"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither modules\.json nor config\.json"):
        resolve_model(str(tmp_path))


# What identifies a model


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json", "1_Pooling/config.json",
     "config_sentence_transformers.json", "sentence_bert_config.json", "modules.json"],
)  # fmt: skip
def test_every_file_that_decides_a_vector_is_covered(name: str, copy: Path) -> None:
    before = digests(copy)
    with (copy / name).open("ab") as file:
        file.write(b" ")
    assert changed(before, digests(copy)) == {name}


def test_the_routes_of_a_router_are_covered(router_model: Path) -> None:
    names = digests(router_model).keys()
    assert {"query_0_StaticEmbedding/model.safetensors", "document_0_Transformer/model.safetensors"} <= names


@pytest.mark.parametrize(
    "name",
    ["README.md", "LICENSE", "picture.png", ".gitattributes", ".cache/x.json", "onnx/model.onnx", "model.onnx",
     "1_Pooling/onnx/model.onnx", "openvino/openvino_model.bin", "openvino_model.xml", "tf_model.h5",
     "training_args.bin", "checkpoint-500/model.safetensors", "runs/events.out", "pytorch_model.bin"],
)  # fmt: skip
def test_files_that_change_no_vector_do_not_matter(name: str, copy: Path) -> None:
    before = digests(copy)
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_bytes(b"x")
    assert digests(copy) == before


@pytest.mark.parametrize(
    ("backend", "own", "foreign"),
    [("onnx", "onnx/model.onnx", "openvino/openvino_model.bin"), ("openvino", "openvino/a.bin", "onnx/model.onnx")],
)
def test_the_folder_of_the_backend_in_use_is_covered(backend: str, own: str, foreign: str, copy: Path) -> None:
    before = digests(copy, backend)
    for name in (own, foreign):
        (copy / name).parent.mkdir()
        (copy / name).write_bytes(b"x")
    assert changed(before, digests(copy, backend)) == {own}


def test_shards_are_covered(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}})
    )
    assert {"model-00001-of-00001.safetensors", "model.safetensors.index.json"} <= digests(copy).keys()


def test_pickled_weights_are_covered_where_nothing_safer_is_there(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert "pytorch_model.bin" in digests(copy)


def test_linked_folders_and_files_are_covered(copy: Path, tmp_path: Path) -> None:
    before = digests(copy)
    (copy / "1_Pooling").rename(tmp_path / "pooling")
    (copy / "1_Pooling").symlink_to(tmp_path / "pooling")
    (copy / "config.json").rename(tmp_path / "blob")
    (copy / "config.json").symlink_to(tmp_path / "blob")
    (copy / "loop").symlink_to(copy)
    assert digests(copy) == before


# Before loading


def test_a_whole_model_passes(bert_model: Path, router_model: Path, static_model: Path) -> None:
    for folder in (bert_model, router_model, static_model):
        check_model(folder)


@pytest.mark.parametrize("keep", [4, 5000])
def test_weights_that_are_cut_off_are_refused(keep: int, copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match="the weights are damaged") as caught:
        check_model(copy)
    assert (caught.value.exit_code, caught.value.where) == (4, str(file))


def test_weights_with_a_damaged_header_are_refused(copy: Path) -> None:
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[8:12] = b"\xff\xff\xff\xff"
    (copy / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="the weights are damaged"):
        check_model(copy)


def test_a_pointer_of_git_lfs_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(InputError, match="git lfs pull"):
        check_model(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00001.safetensors"}}')
    with pytest.raises(InputError, match=r"'model-00001-of-00001\.safetensors' are missing"):
        check_model(copy)


@pytest.mark.parametrize("name", ["modules.json", "config.json", "config_sentence_transformers.json"])
def test_a_damaged_settings_file_is_named(name: str, copy: Path) -> None:
    (copy / name).write_text('[{"idx": 0,')
    with pytest.raises(InputError, match="no readable JSON") as caught:
        check_model(copy)
    assert caught.value.where == str(copy / name)


def test_a_reranker_is_refused_as_embedding_model(copy: Path) -> None:
    settings = json.loads((copy / "config_sentence_transformers.json").read_text())
    (copy / "config_sentence_transformers.json").write_text(json.dumps({**settings, "model_type": "CrossEncoder"}))
    with pytest.raises(InputError, match="this is a CrossEncoder and not an embedding model"):
        check_model(copy)


def own_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "own_pooling.OwnPooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_pooling.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\nclass OwnPooling: pass\n")


def own_architecture(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "own-bert", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")


@pytest.mark.parametrize("bring", [own_module, own_architecture])
def test_a_model_with_code_of_its_own_is_refused_by_default(bring, copy: Path) -> None:  # type: ignore[no-untyped-def]
    bring(copy)
    with pytest.raises(InputError, match=r"code of its own.*embed\.trust_remote_code: true"):
        check_model(copy)


@pytest.mark.parametrize("bring", [own_module, own_architecture])
def test_code_of_a_model_does_not_run_when_it_is_loaded(bring, copy: Path) -> None:  # type: ignore[no-untyped-def]
    bring(copy)
    with pytest.raises(InputError, match=r"embed\.trust_remote_code: true"):
        SentenceTransformerEncoder(copy, Settings())
    assert not (copy / "ran").exists()


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("model", ["static_model", "bert_model"])
def test_pickled_weights_run_no_code(model: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(model), tmp_path / "evil"))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"embedding.weight": Evil(tmp_path / "ran")}))
    check_model(folder)
    digests(folder)
    with pytest.raises(InputError, match="the model cannot be loaded"):
        SentenceTransformerEncoder(folder, Settings())
    assert not (tmp_path / "ran").exists()


def test_a_sharded_model_with_whole_shards_loads(bert_model: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(bert_model), device="cpu").save_pretrained(str(tmp_path / "m"), create_model_card=False)
    from transformers import AutoModel

    (tmp_path / "m" / "model.safetensors").unlink()
    AutoModel.from_pretrained(str(bert_model)).save_pretrained(tmp_path / "m", max_shard_size="20KB")
    check_model(tmp_path / "m")
    found = SentenceTransformerEncoder(tmp_path / "m", Settings()).encode_queries(["dock"])
    assert np.abs(found - SentenceTransformerEncoder(bert_model, Settings()).encode_queries(["dock"])).max() < 1e-6


def test_loading_writes_nothing_into_the_model_folder(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    SentenceTransformerEncoder(copy, Settings()).encode_queries(["dock"])
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
