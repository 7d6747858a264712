from PIL import Image

from recolor.train.curves import draw_loss_curve


def test_the_same_metrics_give_the_same_picture(tmp_path):
    metrics = [(step, "train", 1 / step, 1e-3) for step in range(1, 120)] + [(100, "val", 0.5, 1e-3)]
    draw_loss_curve(metrics, "generator", tmp_path / "a.png")
    draw_loss_curve(metrics, "generator", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (700, 400)
        assert "Software" not in image.info


def test_a_single_step_can_be_drawn(tmp_path):
    draw_loss_curve([(1, "train", 0.5, 1e-3)], "generator", tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 0
