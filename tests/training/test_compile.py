import shutil
from dataclasses import replace

import pytest
import torch

from recolor.errors import ConfigError
from recolor.training.checkpoint import checkpoint_paths
from recolor.training.loop import train

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler g++ here")


@pytest.mark.slow  # takes seconds, or twenty without a compile cache
@needs_compiler
def test_a_compiled_training_takes_the_same_steps_and_resumes(tmp_path, sets, make_training, painter_loss, tiny):
    config = replace(tiny.generator.train, steps=6, validate_steps=3, checkpoint_steps=2)
    eager = train(make_training(config, at=tmp_path / "eager"), *sets)
    steps, seen = [], []

    def loss(model, batch):
        seen.append((model.training, model._compiled_call_impl is not None))
        steps.extend([1] * model.training)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return painter_loss(model, batch)

    compiled = replace(config, compile=True)
    with pytest.raises(KeyboardInterrupt):
        train(make_training(compiled, loss=loss), *sets)
    assert set(seen) == {(True, True), (False, False)}  # the model is compiled, the averaged model is not
    resumed = train(make_training(compiled), *sets)
    whole = train(make_training(compiled, at=tmp_path / "whole"), *sets)
    assert resumed.metrics == whole.metrics
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    assert list(whole.model.state_dict()) == list(eager.model.state_dict())
    assert [metric[:2] for metric in whole.metrics] == [metric[:2] for metric in eager.metrics]
    losses = torch.tensor([[metric[2] for metric in one.metrics] for one in (whole, eager)])
    torch.testing.assert_close(losses[0][:1], losses[1][:1], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses[0], losses[1], rtol=0.02, atol=0)  # AdamW magnifies the rounding of small ones


@pytest.mark.slow
def test_without_a_compiler_nothing_is_trained(sets, make_training, tiny, monkeypatch):
    from torch._inductor import config as inductor  # noqa: PLC0415  (slow to load, and of no use to other tests)

    def never(model, batch):
        raise AssertionError("a step was done")

    torch._dynamo.reset()
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "/nowhere/g++"))
    training = make_training(replace(tiny.generator.train, compile=True), loss=never)
    message = r"painter\.train\.compile = true: torch cannot compile here \(.*C\+\+ compiler.*Install a C\+\+ compiler"
    with pytest.raises(ConfigError, match=message):
        train(training, *sets)
    assert checkpoint_paths(training.checkpoints) == []
