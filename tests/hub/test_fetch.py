"""The Hub's own client against a Hub on loopback: what arrives whole is a model, and nothing else ever is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mio_cli.arch import build_model
from mio_cli.core.errors import UsageError
from mio_cli.hub.fetch import HubModel, hub_model, parse_hub
from mio_cli.hub.folder import load_model_folder, save_model
from tests.hub.hub_server import TOKEN, Hub, Repository, running_hub

FETCH = """
import sys
from mio_cli.core.errors import MioError
from mio_cli.hub.locate import model_folder
try:
    print(model_folder(sys.argv[1]))
except MioError as error:
    assert "\\n" not in str(error), str(error)
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(1)
"""
PUSH = """
import sys
from pathlib import Path
from mio_cli.core.errors import MioError
from mio_cli.hub.fetch import hub_model, push
try:
    print(push(Path(sys.argv[1]), hub_model(sys.argv[2])))
except MioError as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(1)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    save_model(build_model("srresnet", num_feat=16, num_block=4), "srresnet", folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA network for tests.\n")
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[Hub]:
    with running_hub() as server:
        repository = server.repositories["ann/tiny"] = Repository()
        repository.commit({path.name: path.read_bytes() for path in model.iterdir()})
        repository.commit({"notes.bin": bytes(1000)})
        yield server


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """Run a script in a process of its own: the client reads its environment once."""

    def run(script: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        ours = {
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": hub.address,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, words)],
            cwd=tmp_path,
            env=kept | ours | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def fetched(done: subprocess.CompletedProcess[str]) -> torch.nn.Module:
    assert done.returncode == 0, done.stderr
    return load_model_folder(Path(done.stdout.strip()))


def same(net: torch.nn.Module, folder: Path) -> bool:
    state, expected = net.state_dict(), load_model_folder(folder).state_dict()
    return all(torch.equal(state[key], value) for key, value in expected.items())


def weights_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.safetensors") if path.exists()]


def test_a_repository_is_a_model_and_is_fetched_once(hub: Hub, run: Run, model: Path) -> None:
    done = run(FETCH, "hf:ann/tiny")
    assert same(fetched(done), model)
    assert sorted(path.name for path in Path(done.stdout.strip()).iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ], "and only what belongs to a model"
    hub.requests.clear()
    assert same(fetched(run(FETCH, "ann/tiny")), model)
    assert not [line for line in hub.requests if line.startswith("GET /ann")]


def test_offline_the_cache_answers(hub: Hub, run: Run, model: Path) -> None:
    absent = run(FETCH, "hf:ann/tiny", HF_HUB_OFFLINE="1")
    assert absent.returncode == 1
    assert "HF_HUB_OFFLINE" in absent.stderr
    fetched(run(FETCH, "hf:ann/tiny"))
    hub.requests.clear()
    assert same(fetched(run(FETCH, "hf:ann/tiny", HF_HUB_OFFLINE="1")), model)
    assert not hub.requests
    # Without a connection too, though nobody said so.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert same(fetched(run(FETCH, "hf:ann/tiny", HF_ENDPOINT=nobody)), model)


def test_revisions_are_branches_tags_and_commits(hub: Hub, run: Run, model: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = tmp_path / "other"
    save_model(build_model("srresnet", num_feat=8, num_block=1), "srresnet", other)
    commit = hub.repositories["ann/tiny"].commit({p.name: p.read_bytes() for p in other.iterdir()}, "v2")
    for revision in ("v2", commit):
        assert same(fetched(run(FETCH, f"hf:ann/tiny@{revision}")), other)
    assert same(fetched(run(FETCH, "hf:ann/tiny")), model)
    wrong = run(FETCH, "hf:ann/tiny@v3")
    assert wrong.returncode == 1
    assert "no revision 'v3'" in wrong.stderr


def test_a_cut_connection_is_resumed(hub: Hub, run: Run, model: Path) -> None:
    hub.faults.cuts = 1
    assert same(fetched(run(FETCH, "hf:ann/tiny")), model)
    assert len([line for line in hub.requests if line.startswith("GET") and "safetensors" in line]) == 2


def test_an_interrupted_download_never_becomes_a_model(
    hub: Hub, run: Run, model: Path, tmp_path: Path
) -> None:
    hub.faults.cuts, hub.faults.dead_after_cut = 1, True
    done = run(FETCH, "hf:ann/tiny")
    assert done.returncode == 1
    assert "WeightsError the transfer of hf:ann/tiny broke off" in done.stderr
    assert not weights_in(tmp_path / "hf")
    offline = run(FETCH, "hf:ann/tiny", HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    hub.faults.dead = False
    assert same(fetched(run(FETCH, "hf:ann/tiny")), model)


def test_damaged_weights_never_become_a_model(hub: Hub, run: Run, model: Path, tmp_path: Path) -> None:
    hub.faults.corrupt = True
    done = run(FETCH, "hf:ann/tiny")
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert not weights_in(tmp_path / "hf")
    hub.faults.corrupt = False
    assert same(fetched(run(FETCH, "hf:ann/tiny")), model)


def test_the_registry_decides_which_weights_are_the_right_ones(hub: Hub, run: Run, model: Path) -> None:
    registered = """
import sys
from mio_cli.core.errors import WeightsError
from mio_cli.hub import locate, registry
from mio_cli.hub.registry import Entry, sha256
from pathlib import Path
right = sha256(Path(sys.argv[1]) / "model.safetensors")
for digest in (right, right[::-1]):
    entry = Entry("tiny", "A network for tests.", digest, source="hf:ann/tiny")
    registry.registered = lambda: {"tiny": entry}
    try:
        print(locate.model_folder("tiny"))
    except WeightsError as error:
        print("refused", error)
"""
    good, bad = run(registered, model).stdout.splitlines()
    assert same(load_model_folder(Path(good)), model)
    assert bad.startswith("refused")


@pytest.mark.parametrize(
    ("name", "token", "words"),
    [
        ("ann/absent", TOKEN, "no repository hf:ann/absent"),
        ("ann/absent", "", "refuses access to hf:ann/absent (401)"),
        ("ann/private", "", "HF_TOKEN"),
        ("ann/private", "hf_wrong", "HF_TOKEN"),
        ("ann/other", TOKEN, "no model of mio"),
    ],
)
def test_refusals_say_what_to_do(hub: Hub, run: Run, name: str, token: str, words: str) -> None:
    hub.repositories["ann/private"] = Repository(private=True)
    hub.repositories["ann/other"] = Repository()
    hub.repositories["ann/other"].commit({"weights.bin": b"1"})
    done = run(FETCH, f"hf:{name}", **({"HF_TOKEN": token} if token else {}))
    assert done.returncode == 1
    assert words in done.stderr


def test_private_models_come_with_a_token(hub: Hub, run: Run, model: Path) -> None:
    hub.repositories["ann/tiny"].private = True
    assert same(fetched(run(FETCH, "hf:ann/tiny", HF_TOKEN=TOKEN)), model)


@pytest.mark.parametrize("silent", [False, True])
def test_nobody_answers(silent: bool, run: Run) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if silent:
            nobody.listen()
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = run(FETCH, "hf:ann/tiny", HF_ENDPOINT=address, HF_HUB_ETAG_TIMEOUT="1")
    assert done.returncode == 1
    assert f"cannot reach {address}" in done.stderr


def test_an_expired_token_does_not_lock_the_cache(hub: Hub, run: Run, model: Path) -> None:
    hub.repositories["ann/tiny"].private = True
    fetched(run(FETCH, "hf:ann/tiny", HF_TOKEN=TOKEN))
    assert same(fetched(run(FETCH, "hf:ann/tiny", HF_TOKEN="hf_expired")), model)


def test_a_pushed_model_can_be_fetched(hub: Hub, run: Run, model: Path) -> None:
    (model / "notes.txt").write_text("mine")
    done = run(PUSH, model, "ann/mine", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.address}/ann/mine"
    assert same(fetched(run(FETCH, "hf:ann/mine")), model)
    repository = hub.repositories["ann/mine"]
    files = repository.commits[repository.refs["main"]]
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    again = run(PUSH, model, "hf:ann/mine", HF_TOKEN=TOKEN)
    assert again.returncode == 0, "an existing repository gets a new commit"


def test_pushing_needs_a_card_and_a_token(hub: Hub, run: Run, model: Path, tmp_path: Path) -> None:
    refused = run(PUSH, model, "ann/mine")
    assert refused.returncode == 1
    assert "HF_TOKEN" in refused.stderr
    bare = tmp_path / "bare"
    save_model(build_model("srresnet", num_feat=8, num_block=1), "srresnet", bare)
    hub.requests.clear()
    refused = run(PUSH, bare, "ann/mine", HF_TOKEN=TOKEN)
    assert refused.returncode == 1
    assert "README.md" in refused.stderr
    assert not hub.requests


def test_what_names_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert parse_hub("hf:user/repo@refs/pr/1") == HubModel("user/repo", "refs/pr/1")
    assert parse_hub("user/repo@v1") == HubModel("user/repo", "v1")
    assert parse_hub("hf:runs/mine") == hub_model("runs/mine") == HubModel("runs/mine")
    for path in ("runs/mine", "mine", "./user/repo", "/user/repo", "a/b/c", "../repo", "user/", "C:\\a\\b"):
        assert parse_hub(path) is None
    for wrong in ("hf:user", "hf:", "hf:a/b/c", "hf:user/repo@"):
        with pytest.raises(UsageError):
            parse_hub(wrong)
