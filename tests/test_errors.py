import copy
import inspect
import pickle

import pytest

from recolor import errors
from recolor.errors import ImageError, ProcessDiedError, RecolorError

MADE = {
    ProcessDiedError: [ProcessDiedError(), ProcessDiedError(killed=True), ProcessDiedError(timed_out=True)],
    ImageError: [ImageError("truncated", "12 of 40 rows"), ImageError("unreadable", "")],
}
CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, RecolorError)]
PLAIN = [kind for kind in CLASSES if kind not in MADE]
EXAMPLES = [kind("a.jpg: what to do.") for kind in PLAIN] + [error for made in MADE.values() for error in made]
ROUND_TRIPS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {level}": lambda error, level=level: pickle.loads(pickle.dumps(error, level)) for level in range(6)},
}


def test_the_error_tree_has_every_class_of_its_docstring():
    assert len(CLASSES) == 14
    assert all(kind.__name__ in errors.__doc__ for kind in CLASSES)


@pytest.mark.parametrize("round_trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_an_error_survives_pickling_and_copying_whole(error, round_trip):
    error.add_note("rank 3 of 8")
    error.folder = "photos"
    again = round_trip(error)
    assert again is not error
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert again.__notes__[-1] == "rank 3 of 8"


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_an_error_with_another_message_keeps_its_class_and_attributes(error):
    other = error.with_message("3 of 8 parts failed")
    assert (type(other), str(other), vars(other)) == (type(error), "3 of 8 parts failed", vars(error))


def test_an_error_of_a_subclass_with_other_parameters_survives_pickling():
    again = pickle.loads(pickle.dumps(OfTwoError(path="a.jpg", line=3)))
    assert (str(again), again.path, again.line) == ("a.jpg, line 3", "a.jpg", 3)


class OfTwoError(RecolorError):
    def __init__(self, *, path, line):
        super().__init__(f"{path}, line {line}")
        self.path, self.line = path, line
