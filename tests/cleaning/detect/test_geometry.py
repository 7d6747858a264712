import pytest

from recolor.cleaning.detect.geometry import detect_extreme_aspect, detect_low_resolution, score_extreme_aspect
from recolor.config.settings import ExtremeAspectConfig, LowResolutionConfig


def sizes(numbers, *pairs):
    return numbers(
        [{"path": f"{at}.jpg", "width_px": width, "height_px": height} for at, (width, height) in enumerate(pairs)]
    )


def test_the_short_side_decides_and_the_limit_itself_is_kept(numbers):
    table = sizes(numbers, (256, 256), (255, 9000), (9000, 255), (256, 9000), (None, None))
    rows = detect_low_resolution(table, LowResolutionConfig()).to_pylist()
    assert [row["path"] for row in rows] == ["1.jpg", "2.jpg"]
    assert rows[0]["reason"] == "too small: the short side is 255 px, the minimum 256 px"
    assert rows[0]["score"] == pytest.approx(255 / 511)


def test_aspects_of_the_limits_are_kept_and_beyond_them_not(numbers):
    table = sizes(numbers, (200, 100), (201, 100), (100, 200), (100, 201), (1, 1), (None, None))
    rows = detect_extreme_aspect(table, ExtremeAspectConfig()).to_pylist()
    assert [row["path"] for row in rows] == ["1.jpg", "3.jpg"]
    assert rows[0]["aspect"] == pytest.approx(2.01)
    assert [row["reason"] for row in rows] == [
        "too wide: 2.01 times as wide as high (0.5 to 2 are allowed)",
        "too narrow: 0.50 times as wide as high (0.5 to 2 are allowed)",
    ]
    wider = detect_extreme_aspect(table, ExtremeAspectConfig(max_aspect=3.0)).to_pylist()
    assert [row["path"] for row in wider] == ["3.jpg"]


def test_scores_fall_with_the_distance_from_the_limits(numbers):
    score = score_extreme_aspect(sizes(numbers, (100, 100), (200, 100), (400, 100), (800, 100)), ExtremeAspectConfig())
    assert score.tolist() == sorted(score, reverse=True)
    assert score[1] == 0.5
