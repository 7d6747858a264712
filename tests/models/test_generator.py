import pytest
import torch

from recolor.config.settings import GeneratorModelConfig
from recolor.models.generator import Generator, contrast_chroma, decoder_widths


def _generator(**changes):
    torch.manual_seed(7)
    return Generator(GeneratorModelConfig(**{"encoder_weights": "none", "width": 16, "blocks": 2, **changes}))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(64, 64), (72, 88)])
@pytest.mark.parametrize("head", ["distribution", "regression"])
def test_predictions_are_a_quarter_of_the_input(depth, size, head):
    model = _generator(encoder_depth=depth, head=head).eval()
    L = torch.rand(2, 1, *size) * 100
    channels = model.bins.count if head == "distribution" else 2
    assert model(L).shape == (2, channels, size[0] // 4, size[1] // 4)
    ab = model.predict_ab(L, 0.38)
    assert ab.shape == (2, 2, size[0] // 4, size[1] // 4)
    assert ab.dtype == torch.float32
    assert not ab.requires_grad


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("head", ["distribution", "regression"])
def test_a_scaled_generator_predicts_as_an_unscaled_one_does_on_the_smaller_picture(scale, head):
    model, unscaled = _generator(scale=scale, head=head).eval(), _generator(head=head).eval()
    torch.nn.init.normal_(model.head.weight, std=0.05)
    unscaled.load_state_dict(model.state_dict())
    L = torch.rand(2, 1, 16 * scale, 24 * scale, generator=torch.Generator().manual_seed(11)) * 100
    smaller = L.unflatten(3, (-1, scale)).unflatten(2, (-1, scale)).mean(dim=(3, 5))
    with torch.no_grad():
        torch.testing.assert_close(model(L), unscaled(smaller), rtol=1e-4, atol=1e-3)
    ab = model.predict_ab(L, 0.38)
    assert ab.shape == (2, 2, 4 * scale, 6 * scale)
    coarse = unscaled.predict_ab(smaller, 0.38)
    between = coarse[..., :2].mul(torch.tensor([0.5 + 0.5 / scale, 0.5 - 0.5 / scale])).sum(-1)  # next to a boundary
    torch.testing.assert_close(ab[:, :, 0, scale - 1], between[:, :, 0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("widening", [1.0, 1.5])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_every_parameter_learns(depth, widening):
    model = _generator(encoder="efficientnet_lite0", encoder_depth=depth, blocks=1, widening=widening)
    for parameter in model.parameters():  # zero-initialised layers hide those before them
        torch.nn.init.normal_(parameter, std=0.1)
    model(torch.rand(2, 1, 64, 64) * 100).square().mean().backward()
    unlearnt = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert unlearnt == []


def test_coarser_levels_have_more_channels_in_multiples_of_8():
    assert decoder_widths(GeneratorModelConfig(width=112, widening=1.4), 4) == [112, 160, 216, 304]
    assert decoder_widths(GeneratorModelConfig(width=112), 4) == [112, 112, 112, 112]
    model = _generator(encoder="efficientnet_lite0", encoder_depth=4, widening=2.0)
    assert [lateral.out_channels for lateral in model.laterals] == [16, 32, 64, 128]


def test_a_decoder_of_one_width_has_the_parameters_that_it_had_before_widening_was_a_setting():
    assert [name for name in _generator(encoder_depth=4).state_dict() if name.startswith("narrow")] == []


def test_an_untrained_generator_prefers_no_colour():
    model = _generator().eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1, 64, 64) * 100).abs().max() == 0


def test_four_blocks_see_across_a_whole_image():
    model = _generator(blocks=4, encoder_depth=2).eval()
    for block in model.blocks:
        torch.nn.init.normal_(block.conv2.weight, std=0.1)
    seen = []  # before the norm, which depends on the whole image
    model.fuse.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    L = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(8)) * 100
    changed = L.clone()
    changed[:, :, :8, :8] = 100 - changed[:, :, :8, :8]
    with torch.no_grad():
        model(L)
        model(changed)
    assert (seen[0] - seen[1]).abs().amax(1)[0, 50, 50] > 0


def test_features_of_any_size_make_predictions_of_one_size():
    model = _generator().eval()
    torch.nn.init.normal_(model.head.weight, std=0.05)
    L = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(10)) * 100
    with torch.no_grad():
        before = model(L)
        model.fuse[0].weight *= 1000
        after = model(L)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-2)


def test_bfloat16_autocast_gives_about_the_same_colours():
    model = _generator().eval()
    torch.nn.init.normal_(model.head.weight, std=0.05)
    L = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(9)) * 100
    exact = model.predict_ab(L, 0.38)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.predict_ab(L, 0.38)
    assert exact.std() > 1
    assert (exact - rounded).abs().mean() < 2


@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_contrast_makes_chroma_steeper_and_keeps_its_root_mean_square_and_all_hues(contrast):
    ab = 30 * torch.randn(3, 2, 14, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    found = contrast_chroma(ab, contrast)
    before, after = torch.linalg.vector_norm(ab, dim=1), torch.linalg.vector_norm(found, dim=1)
    power = before * (before + 1) ** contrast
    for number in range(len(ab)):  # the factor is one for the whole image
        torch.testing.assert_close(after[number] / power[number], (after[number] / power[number])[0, 0].expand(14, 21))
    torch.testing.assert_close(after.square().mean((1, 2)), before.square().mean((1, 2)))
    torch.testing.assert_close(torch.atan2(found[:, 1], found[:, 0]), torch.atan2(ab[:, 1], ab[:, 0]))


@pytest.mark.parametrize("contrast", [0.3, 2.0])
@pytest.mark.parametrize("ab", [(0.0, 0.0), (1e-7, 0.0), (20.0, -35.0)])
def test_contrast_leaves_an_image_of_one_colour_as_it_is(contrast, ab):
    flat = torch.tensor(ab).view(1, 2, 1, 1).expand(2, 2, 8, 8)
    torch.testing.assert_close(contrast_chroma(flat, contrast), flat, rtol=1e-4, atol=0)
