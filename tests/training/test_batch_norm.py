"""Synchronised batch norm of two processes, compared with torch's batch norm of the whole batch, in float64."""

import pytest
import torch
from torch import nn

from recolor.training.batch_norm import GlobalBatchNorm2d, with_global_batch_norm

# Each process computes forward and backward passes of its share of two batches.
SHARE = """
import torch
from recolor.config.settings import TrainConfig
from recolor.training.batch_norm import with_global_batch_norm
from recolor.training.distributed import process_group, batch_share

with process_group(TrainConfig(device="cpu"), folder / "store"):
    model, images, weights = torch.load(folder / "given.pt", weights_only=False)
    model = with_global_batch_norm(model)
    share = batch_share()
    images = images[:, share.rank :: share.world_size].clone().requires_grad_()
    out = torch.stack([model(batch) for batch in images])
    (out * weights[:, share.rank :: share.world_size]).mean().backward()
    kinds = [type(module).__name__ for module in model]
    gradients = [parameter.grad for parameter in model.parameters()]
    torch.save((kinds, out.detach(), images.grad, gradients, model.state_dict()), folder / f"found {share.rank}.pt")
"""


def _interleaved(shares):
    """Joins the shares of both processes to the whole batch."""
    return torch.stack(shares, dim=2).flatten(1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_two_processes_normalise_as_one_does(together, tmp_path, memory_format):
    torch.manual_seed(23)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, momentum=0.3), nn.ReLU(), nn.BatchNorm2d(5)).double()
    for norm in (model[1], model[3]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    images = 20 + 3 * torch.randn(2, 6, 3, 7, 9, dtype=torch.float64)  # two batches, far from 0
    weights = torch.randn(2, 6, 5, 5, 7, dtype=torch.float64)
    model.to(memory_format=memory_format)
    torch.save((model, images, weights), tmp_path / "given.pt")
    together(SHARE, tmp_path)
    kinds, outs, image_gradients, gradients, states = zip(
        *(torch.load(tmp_path / f"found {rank}.pt") for rank in range(2)), strict=True
    )
    assert kinds[0] == ["Conv2d", "GlobalBatchNorm2d", "ReLU", "GlobalBatchNorm2d"]

    images.requires_grad_()
    out = torch.stack([model(batch) for batch in images])
    (out * weights).mean().backward()
    close = {"rtol": 1e-11, "atol": 1e-13}
    torch.testing.assert_close(_interleaved(outs), out.detach(), **close)
    # Each process's loss is the mean over its share; the loss of the batch is the mean of these.
    torch.testing.assert_close(_interleaved(image_gradients) / 2, images.grad, **close)
    for parameter, *of_shares in zip(model.parameters(), *gradients, strict=True):
        torch.testing.assert_close(torch.stack(of_shares).mean(0), parameter.grad, **close)
    torch.testing.assert_close(states[0], model.state_dict(), **close)
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)


def test_one_process_keeps_torchs_own():
    model = nn.Sequential(nn.BatchNorm2d(2))
    assert type(with_global_batch_norm(model)[0]) is nn.BatchNorm2d


def test_in_evaluation_it_is_torchs_own():
    norm, x = GlobalBatchNorm2d(4).eval(), torch.randn(2, 4, 3, 3)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    plain = nn.BatchNorm2d(4).eval()
    plain.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x), plain(x), rtol=0, atol=0)


def test_half_precision_is_normalised_in_float32():
    norm, x = GlobalBatchNorm2d(4), 100 + torch.randn(8, 4, 16, 16)
    out = norm(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), nn.BatchNorm2d(4)(x.bfloat16().float()), rtol=0.01, atol=0.01)
