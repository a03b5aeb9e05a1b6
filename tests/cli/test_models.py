"""``mio models``, and ``--model`` elsewhere, as researchers with published checkpoints use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mio_cli.arch import build_model
from mio_cli.core.errors import EXIT_NOTHING_WORKED, EXIT_USAGE, UsageError, WeightsError
from mio_cli.core.tasks import Task
from mio_cli.hub.describe import describe
from mio_cli.hub.folder import save_model
from mio_cli.hub.importer import import_checkpoint
from mio_cli.infer.auto import TaskClassifier
from mio_cli.infer.restorer import Restorer
from tests.conftest import Mio, load, save
from tests.hub.checkpoints import checkpoint, prompt_file
from tests.hub.hub_server import TOKEN, running_hub


def test_published_explicit_network_from_checkpoint_to_photo_and_back(
    mio: Mio, noisy: np.ndarray, tmp_path: Path
) -> None:
    file = checkpoint("Restormer_EP", tmp_path / "net_g.pth")
    refused = mio("models", "import", file, "-o", tmp_path / "ep")
    assert refused.returncode == EXIT_NOTHING_WORKED
    assert "--prompts type7.npy" in refused.stderr
    assert "Xiangtaokong/MiOIR" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    prompts = prompt_file(tmp_path / "type7.npy")
    done = mio("models", "import", file, "--prompts", prompts, "-o", tmp_path / "ep")
    assert done.returncode == 0, done.stderr
    assert "restormer" in done.stdout

    photo, target = save(noisy[:96, :120], tmp_path / "a.png"), tmp_path / "b.png"
    done = mio("restore", photo, "--model", tmp_path / "ep", "--task", "rain", "-o", target)
    assert done.returncode == 0, done.stderr
    assert load(target).shape == (96, 120, 3)
    assert not np.array_equal(load(target), load(photo))

    done = mio("models", "export", tmp_path / "ep", "-o", tmp_path / "again.pth")
    assert done.returncode == 0, done.stderr
    original, again = (
        torch.load(path, weights_only=True)["params"] for path in (file, tmp_path / "again.pth")
    )
    assert original.keys() == again.keys()
    assert all(torch.equal(original[key], again[key]) for key in original)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [(list(Task), "all seven tasks"), (["jpeg", "noise"], "jpeg, noise"), ([], "nothing yet"), (None, "")],
)
def test_info_tells_what_a_model_was_trained_on(
    mio: Mio, tmp_path: Path, tasks: list[str] | None, words: str
) -> None:
    save_model(build_model("srresnet", num_feat=8, num_block=1), "srresnet", tmp_path / "run", tasks=tasks)
    shown = mio("models", "info", tmp_path / "run").stdout
    assert [line.split(maxsplit=2)[2].strip() for line in shown.splitlines() if "trained on" in line] == (
        [words] if words else []
    )


def test_published_classifier_classifies(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    import_checkpoint(checkpoint("Classifier", tmp_path / "classifier.pth"), tmp_path / "seven")
    photo = save(noisy, tmp_path / "a.png")
    done = mio("classify", photo, "--model", tmp_path / "seven", "--json")
    assert done.returncode == 0, done.stderr
    shares = json.loads(done.stdout)["probabilities"]
    assert list(shares) == ["blur", "noise", "jpeg", "rain", "haze", "lowlight", "sr"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    wrong = mio("restore", photo, "--model", tmp_path / "seven", "--task", "rain")
    assert wrong.returncode != 0
    assert "classifier" in wrong.stderr
    with pytest.raises(WeightsError, match="no classifier"):
        TaskClassifier("mio-small")


def test_list_names_models_and_networks(mio: Mio) -> None:
    rows = {row["name"]: row for row in map(json.loads, mio("models", "list", "--json").stdout.splitlines())}
    assert next(iter(rows)) == "mio-small"
    assert rows["mio-small"]["weights"] == "embedded"
    assert rows["restormer"] == {
        "name": "restormer",
        "arch": "restormer",
        "parameters": 26_126_644,
        "weights": "not shipped",
    }
    assert rows["swinir-denoise"]["arch"] == "swinir"


def test_info_counts_what_the_paper_counts(mio: Mio, tmp_path: Path) -> None:
    facts = json.loads(mio("models", "info", "srresnet", "--prompt", "explicit", "--json").stdout)
    assert facts["parameters"] == 1_441_033
    assert facts["modes"] == ["explicit"]
    # 35 convolutions of 64 to 64 or 3 channels, by hand; prompt extraction and injection come on top.
    convolutions = 128**2 * 9 * (3 * 64 + 33 * 64 * 64 + 64 * 3)
    assert convolutions < facts["macs"] < convolutions * 1.01
    text = mio("models", "info", "uformer").stdout
    for words in ("50,880,946", "multiples of 128, square", "not shipped", "img_size"):
        assert words in text
    assert describe("mio-small").modes == ("explicit", "adaptive")
    assert describe("pip-restormer").modes == ("class",)
    with pytest.raises(UsageError, match="its own prompts"):
        describe("promptir", "explicit")
    with pytest.raises(WeightsError, match="absent"):
        describe(str(tmp_path / "absent"))


def test_verify_tells_good_from_damaged(mio: Mio, tmp_path: Path) -> None:
    assert mio("models", "verify", "mio-small").stdout.startswith("good")
    import_checkpoint(checkpoint("SRResNet", tmp_path / "a.pth"), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    done = mio("models", "verify", tmp_path / "model", "--json")
    assert done.returncode == EXIT_NOTHING_WORKED
    record = json.loads(done.stdout)
    assert not record["good"]
    assert "damaged" in record["error"]


def test_settings_reach_the_network(mio: Mio, tmp_path: Path) -> None:
    file = checkpoint("Uformer", tmp_path / "a.pth")
    done = mio("models", "import", file, "-o", tmp_path / "model", "--set", "img_size=128")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "model" / "config.json").read_text())["config"]["img_size"] == 128
    wrong = mio("models", "import", file, "-o", tmp_path / "other", "--set", "size=128")
    assert wrong.returncode == EXIT_USAGE
    assert "img_size" in wrong.stderr
    assert not (tmp_path / "other").exists()


def test_push_pull_and_restore_from_the_hub(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    folder, target = tmp_path / "model", tmp_path / "b.png"
    import_checkpoint(checkpoint("SRResNet", tmp_path / "a.pth"), folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA network for tests.\n")
    photo = save(noisy[:64, :64], tmp_path / "a.png")
    with running_hub() as hub:
        environment = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }
        for words in (
            ("models", "push", folder, "ann/tiny"),
            ("models", "pull", "ann/tiny"),
            ("restore", photo, "--model", "hf:ann/tiny", "--task", "noise", "-o", target),
        ):
            done = mio(*words, **environment)
            assert done.returncode == 0, done.stderr
    by_hand = Restorer(str(folder), device="cpu")(load(photo), task="noise")
    assert np.abs(load(target).astype(int) - by_hand).max() <= 1


def test_names_are_shown_as_they_are(mio: Mio, tmp_path: Path) -> None:
    """Brackets are no markup, nor is what stands between colons a picture."""
    import_checkpoint(checkpoint("SRResNet", tmp_path / "a.pth"), tmp_path / "m[v2]:cat:[" / "b]")
    name = "m[v2]:cat:[/b]"
    assert mio("models", "verify", name, cwd=tmp_path).stdout == f"good {name}\n"
    assert name in mio("models", "info", name, cwd=tmp_path).stdout
    done = mio("models", "export", name, "-o", "[b].pth", cwd=tmp_path)
    assert done.stdout == f"exported {name} → [b].pth\n"
