import numpy as np
import pytest

from recolor.evaluation.pictures import Picture, picture_grid

HEADINGS = ("Greyscale", "Generator", "Refined", "Photograph")


def picture(path, colour=0):
    tiles = tuple(np.full((64, 64, 3), (colour, 10, 40 * column), np.uint8) for column in range(4))
    return Picture(path, 7.25, tiles)


def test_each_tile_is_drawn_whole_in_its_row_and_column():
    grid = np.asarray(picture_grid([picture("a.jpg", 100), picture("b.jpg", 200)], HEADINGS))
    tops = []
    for red in (100, 200):
        lefts = []
        for column in range(4):
            rows, columns = np.nonzero((grid == (red, 10, 40 * column)).all(axis=2))
            assert (np.ptp(rows), np.ptp(columns), len(rows)) == (63, 63, 64 * 64)
            lefts.append(columns.min())
        assert lefts == sorted(lefts)
        tops.append(rows.min())
    assert tops[0] + 64 < tops[1]


def test_headings_and_captions_are_drawn():
    grid = np.asarray(picture_grid([picture("a.jpg")], HEADINGS)).copy()
    rows = np.nonzero((grid.min(axis=2) < 160).any(axis=1))[0]
    tile_rows = np.nonzero((grid == (0, 10, 0)).all(axis=2).any(axis=1))[0]
    assert rows.min() < tile_rows.min()
    assert rows.max() > tile_rows.max()


def test_the_same_pictures_give_the_same_pixels():
    grids = [picture_grid([picture("ü b.jpg"), picture("c.jpg")], HEADINGS).tobytes() for _ in range(2)]
    assert grids[0] == grids[1]


@pytest.mark.parametrize(
    "path", ["x" * 4000 + ".jpg", "ümlaut/山.jpg", "a\nb\tc.jpg", "\u202egpj.exe", "", "\udcff.jpg"]
)
def test_any_name_can_be_drawn(path):
    assert picture_grid([picture(path)], HEADINGS).size == picture_grid([picture("a.jpg")], HEADINGS).size


def test_pictures_of_other_shapes_are_brought_to_one_width():
    wide = Picture("wide.jpg", 1.0, (np.full((50, 100, 3), 90, np.uint8),) * 3)
    tall = Picture("tall.jpg", 1.0, (np.full((120, 60, 3), (200, 0, 0), np.uint8),) * 3)
    grid = np.asarray(picture_grid([wide, tall], ("a", "b", "c")))
    rows, columns = np.nonzero((grid == (200, 0, 0)).all(axis=2))
    assert np.ptp(rows) == 199
    assert len(np.unique(columns)) == 300
