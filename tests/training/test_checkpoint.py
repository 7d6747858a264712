import errno

import pytest
import torch

from recolor.errors import TrainingError
from recolor.training import checkpoint as module
from recolor.training.checkpoint import (
    Checkpoint,
    checkpoint_paths,
    keep_only,
    read_checkpoint,
    save_checkpoint,
    step_of,
    valid_checkpoints,
)


def _checkpoint(step, **changes):
    torch.manual_seed(step)
    weights = {"weight": torch.randn(300, 7), "batches": torch.tensor(step)}
    moments = {"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    values = {
        "key": "key",
        "settings": {"train.lr": 0.1, "model.head": "distribution", "train.flip": True},
        "step": step,
        "model": weights,
        "ema": weights,
        "optimizer": moments,
        "metrics": [(1, "train", 0.1 + step, 1e-3), (2, "train", 1 / 3, 1e-3), (2, "val", 2.0**-1074, 1e-5)],
    }
    return Checkpoint(**{**values, **changes})


def _newest(folder):
    return next(valid_checkpoints(folder), (None, None))[1]


def test_a_checkpoint_comes_back_to_the_bit(tmp_path):
    saved = _checkpoint(3)
    path = save_checkpoint(tmp_path / "new" / "folder", saved)
    read = _newest(tmp_path / "new" / "folder")
    assert (read.key, read.settings, read.step, read.metrics, read.done) == (
        saved.key,
        saved.settings,
        saved.step,
        saved.metrics,
        False,
    )
    torch.testing.assert_close(read.model, saved.model, rtol=0, atol=0)
    assert read.optimizer["param_groups"] == saved.optimizer["param_groups"]
    assert step_of(path) == 3


def test_the_same_state_gives_the_same_file(tmp_path):
    again = [(step, split[:1] + split[1:], loss, lr) for step, split, loss, lr in _checkpoint(3).metrics]
    first = save_checkpoint(tmp_path / "a", _checkpoint(3))
    second = save_checkpoint(tmp_path / "b", _checkpoint(3, metrics=again))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_a_missing_folder_has_no_checkpoint(tmp_path):
    assert _newest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path, caplog, damage):
    save_checkpoint(tmp_path, _checkpoint(2))
    newest = save_checkpoint(tmp_path, _checkpoint(4))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "empty": b""}[damage])
    assert read_checkpoint(newest) is None
    assert _newest(tmp_path).step == 2
    assert newest.name in caplog.text


def test_a_finished_trainings_checkpoint_is_the_newest_whatever_its_hash(tmp_path):
    for seed in range(8):
        save_checkpoint(tmp_path, _checkpoint(4, metrics=[(seed, "train", 1.0, 1.0)]))
    save_checkpoint(tmp_path, _checkpoint(100_000_000))
    save_checkpoint(tmp_path, _checkpoint(4, done=True))
    assert [path.name[:13] for path in checkpoint_paths(tmp_path)] == [
        *["step-00000004"] * 8,
        "done-00000004",
        "step-10000000",
    ]
    assert _newest(tmp_path).step == 100_000_000


def test_a_checkpoint_of_another_version_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "VERSION", 99)
    path = save_checkpoint(tmp_path, _checkpoint(2))
    monkeypatch.undo()
    with pytest.raises(
        TrainingError, match=rf"{path}: a checkpoint of version 99, .* reads 2\..* or delete {tmp_path} "
    ):
        _newest(tmp_path)


def test_only_what_is_needed_is_kept_and_half_written_files_go(tmp_path):
    paths = [save_checkpoint(tmp_path, _checkpoint(step)) for step in (2, 10, 4, 100)]
    (tmp_path / ".step-00000101-0123456789abcdef.pt.77.tmp").write_bytes(b"half")
    keep_only(tmp_path, [paths[1], paths[3]])
    assert [path.name[:13] for path in checkpoint_paths(tmp_path)] == ["step-00000010", "step-00000100"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, _checkpoint(2))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, _checkpoint(4))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in checkpoint_paths(tmp_path)]
    assert _newest(tmp_path).step == 2
