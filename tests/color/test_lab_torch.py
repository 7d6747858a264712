import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import lab2rgb, lab2xyz, rgb2lab, xyz2lab

from recolor.color import lab
from recolor.color.lab_torch import decode_lab, lab_to_rgb, rgb_to_lab, scale_light


def corners_and_random(count=4096, seed=3):
    """Corners, edges and random colours as float64 [M, 3] in 0..1, black and white among them."""
    corners = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0]), -1).reshape(-1, 3)
    along = np.linspace(0, 1, 256)
    edges = [np.insert(np.full((256, 2), value), axis, along, axis=1) for axis in range(3) for value in (0.0, 1.0)]
    return np.concatenate([corners, *edges, np.random.default_rng(seed).random((count, 3))])


def to_images(colours):
    return torch.from_numpy(np.ascontiguousarray(colours.T[None, :, None, :])).float()


def to_colours(images):
    return images[0, :, 0, :].T.double().numpy()


def reference_exposure(values, factor):
    """Through XYZ in float64: linear light times the factor."""
    reference = xyz2lab(lab2xyz(values) * factor)
    reference[..., 0] = np.clip(reference[..., 0], 0, 100)
    return reference


def test_lab_is_skimage_float64_to_a_thousandth():
    colours = corners_and_random()
    difference = to_colours(rgb_to_lab(to_images(colours))) - rgb2lab(colours)
    assert np.linalg.norm(difference, axis=1).max() <= 1e-3


def test_rgb_is_skimage_float64_to_rounding():
    values = np.random.default_rng(4).uniform([0, -60, -60], [100, 60, 60], (4096, 3))
    with pytest.warns(UserWarning, match="negative Z"):
        reference = lab2rgb(values)
    np.testing.assert_allclose(to_colours(lab_to_rgb(to_images(values))), reference, atol=2e-5)


def test_there_and_back():
    images = to_images(corners_and_random())
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(images)), images, atol=2e-5, rtol=0)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=16))
def test_numpy_and_torch_agree(colours):
    rgb = np.array(colours, np.uint8)
    ours = to_colours(rgb_to_lab(to_images(rgb / 255.0)))
    np.testing.assert_allclose(ours, lab.rgb_to_lab(rgb), atol=5e-4)


def test_codes_are_decoded_as_numpy_does():
    codes = np.random.default_rng(5).integers(0, 256, (2, 8, 8, 3), np.uint8)
    ours = decode_lab(torch.from_numpy(codes).permute(0, 3, 1, 2))
    np.testing.assert_allclose(ours.permute(0, 2, 3, 1).numpy(), lab.decode_lab(codes), atol=1e-5)


@pytest.mark.parametrize("function", [rgb_to_lab, lab_to_rgb])
def test_gradients_are_finite_at_black_and_everywhere_else(function):
    colours = corners_and_random()
    values = colours if function is rgb_to_lab else rgb2lab(colours)
    images = torch.cat((torch.zeros(1, 3, 1, 4), to_images(values)), 3).requires_grad_()
    function(images).square().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


def test_the_gradient_at_black_is_the_slope_of_the_toe():
    black = torch.zeros(1, 3, 1, 1, requires_grad=True)
    rgb_to_lab(black)[0, 0].sum().backward()
    slope = 116 * lab.TOE_SLOPE * lab.XYZ_FROM_RGB[1] / 12.92
    np.testing.assert_allclose(black.grad.flatten().numpy(), slope, rtol=1e-5)


def test_the_gradient_is_the_difference_quotient_of_skimage():
    colours = np.random.default_rng(6).uniform(0.06, 0.98, (256, 3))
    images = to_images(colours).requires_grad_()
    rgb_to_lab(images)[:, 1].sum().backward()
    for channel in range(3):
        step = np.zeros(3)
        step[channel] = 1e-6
        quotient = (rgb2lab(colours + step) - rgb2lab(colours - step))[:, 1] / 2e-6
        np.testing.assert_allclose(to_colours(images.grad)[:, channel], quotient, rtol=2e-3, atol=2e-2)


def test_autocast_does_not_touch_colours():
    images = to_images(corners_and_random(512))
    with torch.autocast("cpu", torch.bfloat16):
        inside = rgb_to_lab(images)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, rgb_to_lab(images), atol=0, rtol=0)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1, 1.8])
def test_scaled_light_is_scaled_xyz_to_a_thousandth(factor):
    values = rgb2lab(corners_and_random())
    ours = to_colours(scale_light(to_images(values), torch.tensor([factor])))
    assert np.linalg.norm(ours - reference_exposure(values, factor), axis=1).max() <= 1e-3


def test_above_the_toe_scaled_light_is_the_cube_root_of_the_factor():
    values = np.random.default_rng(9).uniform([40, -10, -10], [80, 10, 10], (256, 3))
    ours = to_colours(scale_light(to_images(values), torch.tensor([1.1])))
    offset = np.array([16, 0, 0])
    expected = (values + offset) * np.cbrt(1.1) - offset
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_each_image_has_its_own_factor():
    images = to_images(rgb2lab(corners_and_random(64)))
    both = scale_light(torch.cat((images, images)), torch.tensor([0.8, 1.2]))
    torch.testing.assert_close(both[:1], scale_light(images, torch.tensor([0.8])))
    torch.testing.assert_close(both[1:], scale_light(images, torch.tensor([1.2])))
