from dataclasses import replace

import pytest

from recolor.config.settings import Config, TrainConfig
from recolor.dataset.dataset import ShardDataset
from recolor.errors import ConfigError
from recolor.stages import check_can_train
from recolor.training import train_generator, train_refiner


def _with_train(config: Config, **changes) -> Config:
    def of(model):
        return replace(model, train=replace(model.train, **changes))

    return replace(config, generator=of(config.generator), refiner=of(config.refiner))


def test_patience_without_a_val_split_is_refused_before_the_data_is_looked_at(make_shards, tiny, monkeypatch):
    workspace = make_shards(val=0)
    monkeypatch.setattr(ShardDataset, "open", None)
    with pytest.raises(ConfigError, match=r"generator\.train\.patience = 3: no image is in the val split"):
        train_generator(workspace, _with_train(tiny, patience=3))


def test_patience_without_a_val_split_is_refused_for_the_refiner_too(make_shards, tiny):
    workspace = make_shards(val=0)
    train_generator(workspace, tiny)
    with pytest.raises(ConfigError, match=r"refiner\.train\.patience = 1: no image"):
        train_refiner(workspace, _with_train(tiny, patience=1))


def test_tensorboard_without_its_package_is_refused_before_any_work(make_shards, tiny, monkeypatch):
    monkeypatch.setattr("recolor.training.checks.find_spec", lambda name: None)
    workspace, config = make_shards(), _with_train(tiny, tensorboard=True)
    monkeypatch.setattr(ShardDataset, "open", None)
    message = r"generator\.train\.tensorboard = true: .* not installed\. Run `pip install tensorboard`"
    with pytest.raises(ConfigError, match=message):
        train_generator(workspace, config)
    with pytest.raises(ConfigError, match=message):
        check_can_train({"index", "train-generator"}, config)
    check_can_train({"index", "train-generator"}, tiny)


def test_the_settings_of_a_training_are_asked_for_off_by_default():
    train = TrainConfig()
    assert (train.patience, train.tensorboard, train.compile, train.deterministic) == (0, False, False, False)
