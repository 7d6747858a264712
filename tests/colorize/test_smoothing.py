from itertools import pairwise

import cv2
import numpy as np
import pytest
from skimage import data

from recolor.color.lab import rgb_to_lab
from recolor.colorize.smoothing import Colours, flicker, is_cut, smoothed

HEIGHT, WIDTH = 96, 160


def _lab(picture):
    return np.ascontiguousarray(rgb_to_lab(picture))


def _clip(pictures, seed, noise=1.2):
    """Frames as the models give them: L with sensor noise, and true colour with errors that differ in each frame."""
    random = np.random.default_rng(seed)
    for picture in pictures:
        lab = _lab(picture)
        L = np.clip(lab[..., 0] + random.normal(0, noise, (HEIGHT, WIDTH)), 0, 100).astype(np.float32)
        errors = cv2.GaussianBlur(random.normal(0, 60, (HEIGHT, WIDTH, 2)), (0, 0), 3)
        yield Colours(L, (lab[..., 1:] + errors).astype(np.float32))


def _smooth(frames, smoothing=0.8):
    out, before = [], None
    for frame in frames:
        before = smoothed(frame, before, smoothing)
        out.append(before)
    return out


def _flicker(frames):
    return flicker([frame.ab for frame in frames], [frame.L for frame in frames])


def _still():
    return [data.chelsea()[100 : 100 + HEIGHT, 100 : 100 + WIDTH]] * 12


def _object():
    """A patch of another photograph moves over a still one by 5 pixels a frame."""
    for t in range(12):
        picture = _still()[0].copy()
        picture[30:70, 10 + 5 * t : 50 + 5 * t] = data.astronaut()[:40, 200:240]
        yield picture


def _pan():
    return [cv2.resize(data.coffee(), (300, 200))[50 : 50 + HEIGHT, 2 * t : 2 * t + WIDTH] for t in range(12)]


@pytest.mark.parametrize(("scene", "share"), [(_still, 0.45), (_object, 0.45), (_pan, 0.8)])
def test_what_stands_still_flickers_less(scene, share):
    frames = list(_clip(scene(), 1))
    assert 0 < _flicker(_smooth(frames)) < share * _flicker(frames)


def test_a_panned_scene_flickers_less_along_its_motion():
    def along(frames):
        return np.mean([np.abs(b.ab[:, :-2] - a.ab[:, 2:]).mean() for a, b in pairwise(frames)])

    frames = list(_clip(_pan(), 2))
    assert along(_smooth(frames)) < 0.9 * along(frames)


@pytest.mark.parametrize("scene", [_object, _pan])
def test_no_colour_stays_behind_what_moves(scene):
    """Smoothing does not increase errors of colour, as ghosts behind moving objects would."""
    pictures = list(scene())
    frames = list(_clip(pictures, 3))

    def errors(frames):
        return np.mean([np.abs(frame.ab - _lab(picture)[..., 1:])[30:70] for frame, picture in zip(frames, pictures)])

    assert errors(_smooth(frames)) <= 1.02 * errors(frames)


def test_the_frame_after_a_cut_is_its_own():
    pictures = [*_still()[:5], *_pan()[:5]]
    frames = list(_clip(pictures, 4))
    out = _smooth(frames)
    np.testing.assert_array_equal(out[5].ab, frames[5].ab)
    assert np.abs(out[4].ab - frames[4].ab).mean() > 0.5
    assert np.abs(out[6].ab - frames[6].ab).mean() > 0.5
    assert [is_cut(a.L, b.L) for a, b in pairwise(frames)] == [number == 4 for number in range(9)]


@pytest.mark.parametrize("noise", [0.0, 1.0, 6.0])
def test_neither_noise_nor_a_moving_object_is_a_cut(noise):
    frames = list(_clip(_object(), 5, noise))
    assert not any(is_cut(a.L, b.L) for a, b in pairwise(frames))


def test_smoothing_is_an_exponential_average_where_nothing_moves():
    random = np.random.default_rng(6)
    L = random.uniform(0, 100, (40, 48)).astype(np.float32)
    frames = [Colours(L, random.normal(0, 20, (40, 48, 2)).astype(np.float32)) for _ in range(5)]
    expected = frames[0].ab.astype(np.float64)
    for frame in frames[1:]:
        expected = 0.7 * expected + 0.3 * frame.ab
    np.testing.assert_allclose(_smooth(frames, 0.7)[-1].ab, expected, atol=1e-4)


def test_no_smoothing_changes_nothing():
    frames = list(_clip(_object(), 7))
    for out, frame in zip(_smooth(frames, 0.0), frames):
        np.testing.assert_array_equal(out.ab, frame.ab)


def test_flicker_is_the_mean_change_of_pixels_whose_lightness_stays():
    """Compared with a loop over pixels."""
    random = np.random.default_rng(8)
    L = [np.full((6, 7), 50, np.float32)]
    for _ in range(3):
        L.append((L[-1] + random.uniform(-1.9, 1.9, (6, 7))).astype(np.float32))
    ab = [random.normal(0, 10, (6, 7, 2)).astype(np.float32) for _ in L]
    changes = [
        np.hypot(*(ab[t + 1][y, x] - ab[t][y, x]))
        for t in range(3)
        for y in range(6)
        for x in range(7)
        if abs(L[t + 1][y, x] - L[t][y, x]) < 1
    ]
    assert 10 < len(changes) < 110
    assert flicker(ab, L) == pytest.approx(np.mean(changes), rel=1e-5)


def test_cuts_and_single_frames_do_not_flicker():
    frames = list(_clip([_still()[0], _pan()[0]], 9))
    assert _flicker(frames) == 0
    assert _flicker(frames[:1]) == 0
