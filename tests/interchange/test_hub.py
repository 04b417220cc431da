"""Names on the hub: out of the cache without a call, else fetched, or an error that says what to do."""

import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wenmo
from wenmo.errors import InputError
from wenmo.interchange.hub import cache, cached_folder, may_be_name, place_of

REVISION = "0123456789abcdef0123456789abcdef01234567"
ROWS = "text\tlabel\n" + "".join(
    f"{text} {i}\t{label}\n" for i in "bcdef" for text, label in (("good", "y"), ("bad", "n"))
)


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "files")
    return tmp_path / "files"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in which every test keeps what it has; and no way out of this machine."""

    def refused(*_: Any) -> None:
        raise AssertionError("a call home")

    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(socket.socket, "connect", refused)
    return tmp_path / "home" / "hub"


def keep(hub_cache: Path, name: str, files: Path) -> Path:
    """Lay files out as huggingface_hub does: each once in ``blobs``, with a link in the folder of its revision."""
    kept = hub_cache / f"models--{name.replace('/', '--')}"
    snapshot = kept / "snapshots" / REVISION
    for path in sorted(path for path in files.rglob("*") if path.is_file()):
        blob = kept / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(files)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (len(link.relative_to(kept).parts) - 1)) / "blobs" / blob.name)
    (kept / "refs").mkdir(exist_ok=True)
    (kept / "refs" / "main").write_text(REVISION)
    return snapshot


@pytest.mark.parametrize("name", ["someone/tiny-bert", "tiny-bert"])
def test_what_lies_in_the_cache_is_used_without_a_call(name: str, hub_cache: Path, bert: Path, tmp_path: Path) -> None:
    snapshot = keep(hub_cache, name, bert)
    assert cached_folder(name) == place_of(name) == snapshot
    texts = ["good", "a bad one"]
    np.testing.assert_array_equal(wenmo.load(name).embed(texts), wenmo.load(bert).embed(texts))
    assert wenmo.import_checkpoint(name, out=tmp_path / "taken")["family"] == "bert"
    (tmp_path / "rows.tsv").write_text(ROWS)
    quick = {"overrides": ["training.max_steps=2"]}
    runs: list[dict[str, Any]] = [
        {"model": f"bert:{name}"},
        {"model": name},
        {"model": "bag", "features": f"bert:{name}"},
    ]
    for number, call in enumerate(runs):
        run = wenmo.train(tmp_path / "rows.tsv", out=tmp_path / f"run-{number}", **call, **quick)
        assert wenmo.load(run.model).predict("good")[0].label in ("y", "n")
        assert f'checkpoint = "{name}"' in (run.model / "recipe.toml").read_text()  # so that it goes anywhere
    again = wenmo.train(out=tmp_path / "again", recipe=tmp_path / "run-0" / "recipe.toml")
    assert again.dev == wenmo.load(tmp_path / "run-0").folder.metrics["dev"]


def test_steps_of_sentence_transformers_are_links_into_the_cache_too(hub_cache: Path, bert: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in STEPS]
    (bert / "modules.json").write_text(json.dumps(modules))
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    snapshot = keep(hub_cache, "someone/sentences", bert)
    expected = wenmo.load(bert).embed("a good one", pooling="max", normalize=True)
    np.testing.assert_array_equal(wenmo.load("someone/sentences").embed("a good one"), expected)
    (snapshot / "1_Pooling" / "config.json").unlink()
    assert cached_folder("someone/sentences") is None


STEPS = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_cache_that_holds_a_part_is_not_enough(missing: str, hub_cache: Path, bert: Path) -> None:
    (bert / missing).unlink()
    keep(hub_cache, "someone/tiny-bert", bert)
    assert cached_folder("someone/tiny-bert") is None
    with pytest.raises(InputError, match=r"no whole model of this name.*HF_HUB_OFFLINE forbids.*copy its folder here"):
        wenmo.load("someone/tiny-bert")


def test_a_shard_that_was_not_fetched_is_missed(hub_cache: Path, bert: Path) -> None:
    (bert / "model.safetensors").rename(bert / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (bert / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    keep(hub_cache, "someone/tiny-bert", bert)
    assert cached_folder("someone/tiny-bert") is None


def test_a_link_out_of_the_cache_is_refused(hub_cache: Path, bert: Path, tmp_path: Path) -> None:
    snapshot = keep(hub_cache, "someone/tiny-bert", bert)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(bert / "config.json")
    with pytest.raises(InputError, match="a link that leaves the folder"):
        wenmo.load("someone/tiny-bert")


def test_a_path_is_never_a_name(hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for path in ("runs/bert", "./a/b", "/tmp/a", "~/a", "a/b/c", "..", "a--b", "a b", "名/字", ""):
        assert not may_be_name(path), path
        assert place_of(path) == Path(path).expanduser()
    assert may_be_name("bert-base-chinese") and may_be_name("google-bert/bert-base-chinese")
    with pytest.raises(InputError, match="there is no such folder"):
        wenmo.load("nothing")
    with pytest.raises(InputError, match="there is no model 'textcn'"):
        wenmo.train("rows.tsv", model="textcn", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HUB_CACHE": "{}/a"}, "a"),
        ({"HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "{}/b", "HF_HOME": "{}/c"}, "b"),
        ({"HF_HOME": "{}/c"}, "c/hub"),
        ({"HF_HOME": "", "XDG_CACHE_HOME": "{}/d"}, "d/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_variables_of_the_library_say(
    variables: dict[str, str], place: str, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert cache() == tmp_path / place


class Hub(BaseHTTPRequestHandler):
    """The part of the hub that the library asks for one model."""

    files: dict[str, bytes]
    asked: list[str]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        prefix = "/someone/tiny-bert/resolve/"
        if path.startswith("/api/models/someone/tiny-bert/tree/"):
            listed = [
                {"type": "file", "path": name, "size": len(each), "oid": hashlib.sha1(each).hexdigest()}
                for name, each in self.files.items()
            ]
            self._send(json.dumps(listed).encode(), with_body)
        elif path.startswith("/api/models/someone/tiny-bert"):
            siblings = [{"rfilename": name} for name in self.files]
            described = {
                "id": "someone/tiny-bert",
                "modelId": "someone/tiny-bert",
                "sha": REVISION,
                "siblings": siblings,
            }
            self._send(json.dumps(described).encode(), with_body)
        elif path.startswith(prefix) and (name := path.removeprefix(prefix).partition("/")[2]) in self.files:
            if with_body:
                self.asked.append(name)
            self._send(self.files[name], with_body, ETag=f'"{hashlib.sha1(self.files[name]).hexdigest()}"')
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes, with_body: bool, **headers: str) -> None:
        self.send_response(200)
        for name, value in {**headers, "X-Repo-Commit": REVISION, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@pytest.fixture
def hub(bert: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has the model, with files that nobody should want; and what was fetched from it."""
    unwanted = ("pytorch_model.bin", "modeling_custom.py", "tf_model.h5", "onnx/model.onnx", "README.md")
    files = {path.name: path.read_bytes() for path in bert.iterdir()} | dict.fromkeys(unwanted, b"print('run')")
    handler = type("TheHub", (Hub,), {"files": files, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_not_there_is_fetched_once_and_nothing_but_what_is_read(
    hub: tuple[str, list[str]], bert: Path, tmp_path: Path, run_wenmo: Callable[..., Any]
) -> None:
    address, asked = hub
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "", "HF_HUB_DISABLE_XET": "1"}
    (tmp_path / "texts.txt").write_text("a good one\n")
    call = ("embed", "someone/tiny-bert", tmp_path / "texts.txt", "--out")
    first = run_wenmo(*call, tmp_path / "x.npy", environment=environment)
    assert first.code == 0, first.stderr
    assert set(asked) == {"config.json", "model.safetensors", "vocab.txt"}
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), wenmo.load(bert).embed("a good one"))
    fetched = len(asked)
    offline = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    assert run_wenmo(*call, tmp_path / "y.npy", environment=offline).code == 0
    assert len(asked) == fetched
    wrong = run_wenmo("embed", "someone/other", tmp_path / "texts.txt", "--out", "z.npy", environment=environment)
    assert wrong.code == 2 and "someone/other" in wrong.stderr and "check the name and the network" in wrong.stderr
