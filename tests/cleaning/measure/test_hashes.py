import cv2
import imagehash
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.measure.hashes import HASH_PX, hash_squares, hash_windows, make_thumbnails, phash_symmetries
from recolor.cleaning.measure.sharpness import octaves, square_copy
from recolor.cleaning.symmetries import apply_symmetry
from recolor.cleaning.windows import WINDOWS
from recolor.manifests.schemas import SYMMETRIES


def picture(size, seed):
    rng = np.random.default_rng(seed)
    large = np.asarray(Image.fromarray(photographs.coffee()).convert("L"))
    top, left = rng.integers(0, 150, 2)
    return np.asarray(
        Image.fromarray(large[top : top + 240, left : left + 300]).resize((size, size), Image.Resampling.BOX)
    )


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_each_symmetry_is_the_phash_of_the_flipped_or_rotated_picture(symmetry, side):
    for seed in range(20):
        square = picture(4 * side, seed)
        turned = Image.fromarray(np.ascontiguousarray(apply_symmetry(square, symmetry)))
        found = phash_symmetries(square[None], side)[0, SYMMETRIES.index(symmetry)]
        assert found.tobytes().hex() == str(imagehash.phash(turned, side))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_noise_hashes_as_imagehash_does(seed):
    square = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
    assert phash_symmetries(square[None], 8)[0, 0].tobytes().hex() == str(imagehash.phash(Image.fromarray(square)))


def test_the_names_of_the_symmetries_say_what_is_done():
    square = np.arange(9, dtype=np.uint8).reshape(3, 3)
    done = {name: apply_symmetry(square, name).tolist() for name in SYMMETRIES}
    assert done["flip_horizontal"] == np.fliplr(square).tolist()
    assert done["flip_vertical"] == np.flipud(square).tolist()
    assert done["rotate_90"] == np.rot90(square, -1).tolist()  # clockwise
    assert done["rotate_270"] == np.rot90(square, 1).tolist()
    assert done["rotate_180"] == np.rot90(square, 2).tolist()
    assert done["transpose"] == square.T.tolist()
    assert done["transverse"] == np.rot90(square, 2).T.tolist()
    assert len({str(value) for value in done.values()}) == 8


def test_a_hash_survives_resizing():
    grey = np.asarray(Image.fromarray(photographs.coffee()).convert("L"))
    small = np.asarray(Image.fromarray(grey).resize((200, 133), Image.Resampling.LANCZOS))
    squares = np.stack([square_copy(octaves(picture), HASH_PX) for picture in (grey, small)])
    for hashes, bits in zip(hash_squares(squares), (64, 256), strict=True):
        assert hashes.shape == (2, bits)
        whole, shrunk = hashes[:, : bits // 8]
        assert np.unpackbits(whole ^ shrunk).sum() <= bits // 16


@settings(max_examples=20)
@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_a_hash_does_not_depend_on_the_pictures_beside_it(count, seed):
    squares = np.random.default_rng(seed).integers(0, 256, (count, HASH_PX, HASH_PX), dtype=np.uint8)
    at = seed % count
    own = squares[at : at + 1]
    for together, alone in zip(
        (*hash_squares(squares), hash_windows(squares), make_thumbnails(squares)),
        (*hash_squares(own), hash_windows(own), make_thumbnails(own)),
        strict=True,
    ):
        assert (together[at] == alone[0]).all()


def test_windows_are_hashed_as_the_crops_themselves_would_be():
    """Against crops of a picture 25 times as large, in which windows begin and end at whole pixels."""
    grey = np.asarray(Image.fromarray(photographs.coffee()).convert("L"))
    square = np.asarray(Image.fromarray(grey).resize((HASH_PX, HASH_PX), Image.Resampling.BOX))
    large = np.kron(square, np.ones((25, 25), np.uint8))
    edges = np.rint(WINDOWS * len(large)).astype(int)
    crops = [large[top:bottom, left:right].astype(np.float32) for left, right, top, bottom in edges]
    means = [cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA) for crop in crops]
    low = np.array([scipy.fft.dctn(mean.astype(np.float64), norm=None)[:8, :8].reshape(-1) for mean in means])
    over = low - np.median(low, axis=1)[:, None]
    found = np.unpackbits(hash_windows(square[None])).reshape(len(WINDOWS), -1)
    clear = np.abs(over) > 1e-3 * np.abs(low).max()
    assert clear.mean() > 0.5
    assert (found == (over > 0))[clear].all()


def test_a_thumbnail_is_the_mean_of_the_square_stretched_to_all_grey_levels():
    square = picture(HASH_PX, 0)
    (found,) = make_thumbnails(square[None])
    means = cv2.resize(square.astype(np.float32), (24, 24), interpolation=cv2.INTER_AREA).reshape(-1)
    stretched = (means - means.min()) / (means.max() - means.min()) * 255
    assert np.abs(found - stretched).max() <= 0.51
    assert not make_thumbnails(np.full((1, HASH_PX, HASH_PX), 77, np.uint8)).any()
