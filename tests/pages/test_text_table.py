from recolor.pages.text_table import text_table

ROWS = [("", "PSNR", "SSIM", "ab MSE"), ("grey *", "22.19", "0.932", "3.60"), ("refined", "27.98", "0.942", "1.15")]


def test_the_first_column_is_to_the_left_and_numbers_to_the_right():
    assert text_table(ROWS).splitlines() == [
        "          PSNR   SSIM  ab MSE",
        "grey *   22.19  0.932    3.60",
        "refined  27.98  0.942    1.15",
    ]


def test_a_table_that_is_too_wide_is_cut_between_columns():
    assert text_table(ROWS, 22).split("\n\n") == [
        "          PSNR   SSIM\ngrey *   22.19  0.932\nrefined  27.98  0.942",
        "         ab MSE\ngrey *     3.60\nrefined    1.15",
    ]
    assert text_table(ROWS, 29) == text_table(ROWS)


def test_a_piece_has_at_least_one_column_of_values():
    assert len(text_table(ROWS, 1).split("\n\n")) == 3


def test_words_are_to_the_left():
    assert text_table([("a", "x"), ("b", "long")], numbers=False) == "a  x\nb  long"
