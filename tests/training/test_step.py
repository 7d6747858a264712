from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from recolor.config.settings import GeneratorModelConfig, TrainConfig
from recolor.dataset.augment import make_batch
from recolor.models.generator import Generator
from recolor.training.losses import regression_loss
from recolor.training.step import ema_decay_at, fresh_state, lr_at, one_step, uses_bfloat16


def test_the_learning_rate_warms_up_then_falls_to_a_hundredth():
    config = TrainConfig(steps=100, warmup_steps=10, lr=1.0)
    rates = [lr_at(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(0.01)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_the_average_soon_forgets_the_initial_weights_and_then_moves_slowly():
    config = TrainConfig(ema_decay=0.99)
    assert ema_decay_at(0, config) == pytest.approx(0.1)
    assert ema_decay_at(100_000, config) == 0.99


def test_autocast_is_for_devices_that_multiply_bfloat16_unless_asked_for(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False}, raising=False)
    assert not uses_bfloat16(TrainConfig(amp="auto"), cpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert uses_bfloat16(TrainConfig(amp="auto"), cpu)
    assert uses_bfloat16(TrainConfig(amp="auto"), cuda)
    assert uses_bfloat16(TrainConfig(amp="bfloat16"), cpu)
    assert not uses_bfloat16(TrainConfig(amp="off"), cpu)
    assert not uses_bfloat16(TrainConfig(amp="off"), cuda)


def test_the_averaged_tensors_follow_weights_that_were_loaded_later(sets, make_training, tiny):
    training = make_training(tiny.generator.train)
    state = fresh_state(training)
    other = {name: tensor + 1 for name, tensor in state.model.state_dict().items()}
    state.model.load_state_dict(other)  # as resuming does
    state.ema.load_state_dict(other)
    codes = torch.from_numpy(sets[0].codes(torch.arange(4).numpy()))
    one_step(training, state, make_batch(codes, train=training.config, step=0, augment=False))
    decay = ema_decay_at(0, training.config)
    for name, averaged in state.ema.state_dict().items():
        now = state.model.state_dict()[name]
        torch.testing.assert_close(averaged, torch.lerp(other[name], now, 1 - decay) if now.ndim else now)
    assert state.ema.norm.num_batches_tracked == 2


def _one_step_of_a_generator(training, codes, encoder_lr_fraction):
    train = replace(training.config, encoder_lr_fraction=encoder_lr_fraction, warmup_steps=0, weight_decay=0.0)
    shape = GeneratorModelConfig(encoder="efficientnet_lite0", encoder_depth=2, head="regression", width=8, blocks=1)
    torch.manual_seed(0)
    model = Generator(shape)
    torch.nn.init.normal_(model.head.weight)  # zero at first, so that nothing before it would learn
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training = replace(
        training, model=model, config=train, loss=lambda model, batch: regression_loss(model(batch.L), batch.ab_small)
    )
    state = fresh_state(training)
    one_step(training, state, make_batch(codes, train=train, step=0, augment=False))
    return {
        name: (tensor.float() - before[name].float()).abs().max().item()
        for name, tensor in state.model.state_dict().items()
    }


def test_the_encoder_learns_at_its_fraction_of_the_rate(sets, make_training, tiny):
    training = make_training(tiny.generator.train)
    codes = torch.from_numpy(sets[0].codes(torch.arange(4).numpy()))
    whole, tenth, frozen = (_one_step_of_a_generator(training, codes, fraction) for fraction in (1.0, 0.1, 0.0))
    assert max(change for name, change in whole.items() if name.startswith("encoder.conv")) > 0
    for name, change in whole.items():
        in_encoder = name.startswith("encoder.")
        statistic = "running" in name or "tracked" in name
        factor = 0.1 if in_encoder and not statistic else 1.0
        assert tenth[name] == pytest.approx(factor * change, rel=1e-2)
        assert frozen[name] == pytest.approx(0.0 if in_encoder else change, rel=1e-2)
