import errno

import pytest
import torch

from recolor.train import checkpoint as module
from recolor.train.checkpoint import Checkpoint, checkpoint_paths, keep_newest, newest_checkpoint, save_checkpoint


def _checkpoint(step, key="key"):
    torch.manual_seed(step)
    weights = {"weight": torch.randn(300, 7), "batches": torch.tensor(step)}
    moments = {"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Checkpoint(key, step, weights, weights, moments, [(1, "train", 0.1 + step, 1e-3)])


def test_a_checkpoint_comes_back_to_the_bit(tmp_path):
    saved = _checkpoint(3)
    save_checkpoint(tmp_path / "new" / "folder", saved)
    read = newest_checkpoint(tmp_path / "new" / "folder", "key")
    assert (read.key, read.step, read.metrics) == (saved.key, saved.step, saved.metrics)
    torch.testing.assert_close(read.model, saved.model, rtol=0, atol=0)
    assert read.optimizer["param_groups"] == saved.optimizer["param_groups"]


def test_there_is_none_in_a_folder_that_is_not_there(tmp_path):
    assert newest_checkpoint(tmp_path / "nowhere", "key") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, caplog, damage):
    save_checkpoint(tmp_path, _checkpoint(2))
    newest = save_checkpoint(tmp_path, _checkpoint(4))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "empty": b""}[damage])
    assert newest_checkpoint(tmp_path, "key").step == 2
    assert newest.name in caplog.text


def test_a_checkpoint_of_another_key_is_never_used(tmp_path):
    save_checkpoint(tmp_path, _checkpoint(2, key="mine"))
    save_checkpoint(tmp_path, _checkpoint(4, key="another"))
    assert newest_checkpoint(tmp_path, "mine").step == 2
    assert newest_checkpoint(tmp_path, "third") is None


def test_a_checkpoint_of_another_version_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "VERSION", 99)
    save_checkpoint(tmp_path, _checkpoint(2))
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path, "key") is None


def test_only_the_newest_are_kept_and_half_written_files_go(tmp_path):
    for step in (2, 10, 4, 100):
        save_checkpoint(tmp_path, _checkpoint(step))
    (tmp_path / ".step-00000101-0123456789abcdef.pt.77.tmp").write_bytes(b"half")
    keep_newest(tmp_path, 2)
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
    assert newest_checkpoint(tmp_path, "key").step == 2
