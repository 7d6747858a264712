from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2xyz, xyz2lab

from recolor.color.lab import decode_lab, encode_lab, rgb_to_lab
from recolor.config.settings import TrainConfig
from recolor.dataset.augment import draw_augmentation, draw_cut_px, make_batch, seen_px
from recolor.dataset.sampler import Share
from recolor.errors import ConfigError

SIZE_PX = 80
TRAIN = TrainConfig(steps=12, warmup_steps=1, batch_images=6, crop_px=64, seed=5, exposure=0.2)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


def random_codes(count, seed, brightest=255):
    """Codes of random sRGB colours, so that they are in the gamut: uint8 [count, 3, S, S]."""
    rgb = np.random.default_rng(seed).integers(0, brightest + 1, (count, SIZE_PX, SIZE_PX, 3), np.uint8)
    return np.ascontiguousarray(encode_lab(rgb_to_lab(rgb)).transpose(0, 3, 1, 2))


def reference_lab(codes, train, step, place):
    """The expected image of a batch, float64 [C, C, 3], computed pixel by pixel where it is defined so."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((train.seed, 1, step))))
    top, left, mirrored, light = random.random((place + 1, 4))[place]
    size, room = train.crop_px, codes.shape[-1] - train.crop_px
    top, left = int(top * (room + 1)), int(left * (room + 1))
    lab = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            from_column = size - 1 - column if train.flip and mirrored < 0.5 else column
            code = codes[:, top + row, left + from_column].astype(float)
            low, high = np.array([0, -86.2, -107.9]), np.array([100, 98.3, 94.5])  # the code book of data/README.md
            lab[row, column] = low + code * (high - low) / 255
    lab = xyz2lab(lab2xyz(lab) * (1 + train.exposure * (2 * light - 1)))
    lab[..., 0] = lab[..., 0].clip(0, 100)
    return lab


def block_means(ab):
    small = np.empty((ab.shape[0] // 4, ab.shape[1] // 4, 2))
    for row in range(small.shape[0]):
        for column in range(small.shape[1]):
            small[row, column] = ab[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean((0, 1))
    return small


def channels_last(tensor):
    return tensor.permute(0, 2, 3, 1).double().cpu().numpy()


def distance(ours, lab):
    """Returns the largest ΔE76."""
    return np.linalg.norm(ours - lab, axis=-1).max()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("brightest", [255, 30])
@pytest.mark.parametrize(("step", "flip", "exposure"), [(0, True, 0.2), (7, True, 0.9), (11, False, 0.0)])
def test_an_augmented_batch_is_the_slow_reference_to_a_thousandth(device, brightest, step, flip, exposure):
    train = replace(TRAIN, seed=100 + step, flip=flip, exposure=exposure)
    codes = random_codes(6, step, brightest)
    batch = make_batch(torch.from_numpy(codes).to(device), train=train, step=step, augment=True)
    tensors = (batch.L, batch.ab, batch.ab_small)
    assert [tuple(tensor.shape) for tensor in tensors] == [(6, 1, 64, 64), (6, 2, 64, 64), (6, 2, 16, 16)]
    assert {(tensor.dtype, tensor.device.type) for tensor in tensors} == {(torch.float32, device)}
    ours, small = channels_last(torch.cat((batch.L, batch.ab), 1)), channels_last(batch.ab_small)
    for place, image in enumerate(codes):
        lab = reference_lab(image, train, step, place)
        assert distance(ours[place], lab) <= 1e-3
        assert distance(small[place], block_means(lab[..., 1:])) <= 1e-3


def test_without_augmentation_the_centre_is_cut_whatever_the_step():
    codes = random_codes(2, seed=22)
    batch = make_batch(torch.from_numpy(codes), train=TRAIN, step=0, augment=False)
    exact = decode_lab(codes[:, :, 8:72, 8:72].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(torch.cat((batch.L, batch.ab), 1).numpy(), exact, atol=1e-5)
    again = make_batch(torch.from_numpy(codes), train=replace(TRAIN, seed=9), step=7, augment=False)
    assert torch.equal(batch.ab, again.ab)


def test_float16_lab_gives_the_batch_that_its_codes_give():
    codes = random_codes(4, seed=23)
    lab = decode_lab(codes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2).astype(np.float16)
    ours = make_batch(torch.from_numpy(lab), train=TRAIN, step=1, augment=True)
    expected = make_batch(torch.from_numpy(codes), train=TRAIN, step=1, augment=True)
    torch.testing.assert_close(ours.L, expected.L, atol=0.06, rtol=0)
    torch.testing.assert_close(ours.ab, expected.ab, atol=0.08, rtol=0)


def test_a_batch_is_a_function_of_seed_and_step():
    codes = torch.from_numpy(random_codes(6, seed=24))

    def batch(**changes):
        step = changes.pop("step", 3)
        return make_batch(codes, train=replace(TRAIN, **changes), step=step, augment=True).ab

    assert torch.equal(batch(), batch())
    assert not torch.equal(batch(), batch(step=4))
    assert not torch.equal(batch(), batch(seed=6))


def test_what_happens_to_an_image_depends_on_its_position_and_not_on_how_many_follow():
    places = np.array([7, 0, 3])
    few, many = draw_augmentation(places, TRAIN, 8), draw_augmentation(np.arange(32), TRAIN, 8)
    for one in fields(few):
        np.testing.assert_array_equal(getattr(few, one.name), getattr(many, one.name)[places])


@pytest.mark.parametrize("of", [1, 2, 3, 6])
def test_shares_together_are_the_batch_of_one_process(of):
    codes = torch.from_numpy(random_codes(6, seed=28))
    whole = make_batch(codes, train=TRAIN, step=4, augment=True)
    np.testing.assert_array_equal(whole.positions, np.arange(6))
    for rank in range(of):
        ours = make_batch(codes[rank::of], train=TRAIN, step=4, augment=True, share=Share(rank, of))
        np.testing.assert_array_equal(ours.positions, np.arange(rank, 6, of))
        assert ours.images == 6
        assert ours.positions.dtype == np.int64
        assert torch.equal(ours.L, whole.L[ours.positions])
        assert torch.equal(ours.ab, whole.ab[ours.positions])
        assert torch.equal(ours.ab_small, whole.ab_small[ours.positions])


def test_a_batch_keeps_nothing_of_the_stored_images():
    for stored in (torch.from_numpy(random_codes(3, seed=29)), torch.rand(3, 3, 64, 64).half()):
        for augment in (True, False):
            still = replace(TRAIN, exposure=0.0)
            codes = stored.clone()
            batch = make_batch(codes, train=still, step=0, augment=augment)
            before = [batch.L.clone(), batch.ab.clone(), batch.ab_small.clone()]
            codes.zero_()
            assert all(torch.equal(old, new) for old, new in zip(before, (batch.L, batch.ab, batch.ab_small)))


def test_the_places_of_a_batch_without_augmentation_are_counted():
    batch = make_batch(torch.from_numpy(random_codes(3, seed=30)), train=TRAIN, step=0, augment=False)
    assert batch.positions.tolist() == [0, 1, 2]


def test_augmentation_is_the_same_in_every_version():
    drawn = draw_augmentation(np.arange(2), TrainConfig(), 0)
    assert drawn.top.tolist() == pytest.approx([0.60736599, 0.35612451])
    assert drawn.left.tolist() == pytest.approx([0.50373054, 0.58020406])
    assert drawn.flip.tolist() == [True, False]
    assert drawn.light.tolist() == pytest.approx([0.9449028, 0.94805795])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_never_makes_the_host_wait():
    codes = torch.from_numpy(random_codes(6, seed=31)).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for augment in (True, False):
            make_batch(codes, train=TRAIN, step=4, augment=augment)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_augmentation_covers_its_range_and_no_more():
    drawn = [draw_augmentation(np.arange(64), TRAIN, step) for step in range(100)]
    light = np.concatenate([one.light for one in drawn])
    assert 0.8 <= light.min() < 0.81
    assert 1.19 < light.max() <= 1.2
    assert np.concatenate([one.flip for one in drawn]).mean() == pytest.approx(0.5, abs=0.03)
    room = SIZE_PX - TRAIN.crop_px
    tops = {int(top * (room + 1)) for one in drawn for top in one.top}
    assert tops == set(range(room + 1))


def test_what_is_switched_off_stays_off():
    plain = replace(TRAIN, flip=False, exposure=0.0, crop_px=SIZE_PX)
    codes = torch.from_numpy(random_codes(6, seed=25))
    for step in range(4):
        ours = make_batch(codes, train=plain, step=step, augment=True)
        expected = make_batch(codes, train=plain, step=step, augment=False)
        assert torch.equal(ours.L, expected.L)
        assert torch.equal(ours.ab, expected.ab)


def test_hues_stay_when_light_changes():
    rgb = np.random.default_rng(26).integers(90, 160, (4, SIZE_PX, SIZE_PX, 3), np.uint8)
    codes = torch.from_numpy(encode_lab(rgb_to_lab(rgb)).transpose(0, 3, 1, 2).copy())
    still = replace(TRAIN, crop_px=SIZE_PX, flip=False)
    lit = make_batch(codes, train=still, step=0, augment=True)
    dark = make_batch(codes, train=replace(still, exposure=0.0), step=0, augment=True)
    torch.testing.assert_close(lit.ab / (lit.L + 16), dark.ab / (dark.L + 16), atol=1e-4, rtol=0)
    assert not torch.equal(lit.L, dark.L)


def test_a_crop_larger_than_the_shards_is_refused_with_what_is_allowed():
    codes = torch.from_numpy(random_codes(1, seed=27))
    with pytest.raises(ConfigError, match=r"crop_px = 96.*80 px"):
        make_batch(codes, train=replace(TRAIN, crop_px=96), step=0, augment=True)


def test_resized_crops_are_the_squares_that_were_drawn_at_the_size_asked_for():
    train = replace(TRAIN, resized_crop=0.5, exposure=0.0)
    codes = random_codes(6, seed=8)
    sides = set()
    for step in range(12):
        cut_px = draw_cut_px(SIZE_PX, train, step)
        sides.add(cut_px)
        batch = make_batch(torch.from_numpy(codes), train=train, step=step, augment=True)
        drawn = draw_augmentation(np.arange(6), train, step)
        for place in range(6):
            top, left = (int(share[place] * (SIZE_PX - cut_px + 1)) for share in (drawn.top, drawn.left))
            lab = decode_lab(codes[place].transpose(1, 2, 0))[top : top + cut_px, left : left + cut_px]
            lab = lab[:, ::-1] if drawn.flip[place] else lab
            planes = [Image.fromarray(np.ascontiguousarray(lab[..., c], np.float32)) for c in range(3)]
            wanted = np.stack([np.asarray(plane.resize((64, 64), Image.Resampling.BILINEAR)) for plane in planes])
            ours = torch.cat((batch.L[place], batch.ab[place])).numpy()
            np.testing.assert_allclose(ours, wanted, atol=2e-4)
    assert all(SIZE_PX // 2 <= side <= SIZE_PX for side in sides)
    assert len(sides) > 6


def test_every_process_cuts_the_same_squares_and_without_augmentation_whole_images_are_resized():
    train = replace(TRAIN, resized_crop=0.5)
    codes = torch.from_numpy(random_codes(6, seed=9))
    whole = make_batch(codes, train=train, step=3, augment=True)
    for rank in range(2):
        part = make_batch(codes[rank::2], train=train, step=3, augment=True, share=Share(rank, 2))
        torch.testing.assert_close(part.ab, whole.ab[rank::2], rtol=0, atol=0)
    still = make_batch(codes, train=train, step=3, augment=False)
    planes = decode_lab(codes.numpy()[0].transpose(1, 2, 0))
    L = Image.fromarray(np.ascontiguousarray(planes[..., 0])).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(still.L[0, 0].numpy(), np.asarray(L), atol=2e-4)
    assert (seen_px(SIZE_PX, TRAIN), seen_px(SIZE_PX, train)) == (SIZE_PX, 64)
