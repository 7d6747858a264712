from collections import Counter

from recolor.cleaning.passed_over import OTHER_IMAGE_SUFFIXES, RAW_SUFFIXES, VIDEO_SUFFIXES, PassedOver
from recolor.config.settings import IMAGE_SUFFIXES


def test_files_are_counted_by_kind_and_suffix():
    counted = PassedOver(hidden=2, outputs=Counter({"data/": 1}))
    for suffix, number in {"mp4": 2, "MOV": 1, "nef": 12, "txt": 3, "pdf": 1, "psd": 1}.items():
        for _ in range(number):
            counted.count_file(f"a.{suffix}")
    assert str(counted) == (
        "passed over: 3 videos (.mp4 2, .mov 1), 12 RAW files (.nef 12), 1 image of another format (.psd 1),"
        " 4 other files (.txt 3, .pdf 1), 2 hidden; outputs of Recolor: 1 data/"
    )
    assert counted.videos == 3


def test_nothing_passed_over_is_no_text():
    assert str(PassedOver()) == ""


def test_numbers_of_folders_are_added():
    one, other = (
        PassedOver(Counter({".mov": 1}), hidden=1),
        PassedOver(Counter({".mov": 2}), skipped=Counter({"@eaDir": 1})),
    )
    one.add(other)
    assert one == PassedOver(Counter({".mov": 3}), 1, Counter({"@eaDir": 1}))


def test_no_suffix_is_of_two_kinds():
    every = [*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *RAW_SUFFIXES, *OTHER_IMAGE_SUFFIXES]
    assert len(every) == len(set(every))
