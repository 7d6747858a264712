"""What `import recolor` gives: the public names, loaded when they are used."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import recolor
from recolor.errors import RecolorError

NAMES = {
    "Colorizer",
    "Config",
    "Look",
    "ShardDataset",
    "errors",
    "evaluate",
    "load_config",
    "make_loader",
    "read_manifest",
    "run_stages",
}
HEAVY = {
    "cv2",
    "matplotlib",
    "numpy",
    "pandas",
    "PIL",
    "prefect",
    "pyarrow",
    "scipy",
    "skimage",
    "torch",
    "torchvision",
}


def test_the_public_names_are_these_and_dir_lists_them():
    assert set(recolor.__all__) == {*NAMES, "__version__"}
    assert dir(recolor) == sorted(recolor.__all__)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_public_name_can_be_used(name):
    assert getattr(recolor, name) is getattr(recolor, name)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'recolor' has no attribute 'colourise'"):
        recolor.colourise  # noqa: B018


def test_errors_holds_the_tree_of_errors():
    assert recolor.errors.RecolorError is RecolorError


def loaded_after(code):
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_recolor_loads_no_other_package():
    assert not HEAVY & loaded_after("import recolor; dir(recolor); recolor.__all__")


def test_settings_and_errors_are_loaded_without_torch_and_pandas():
    assert not HEAVY & loaded_after("import recolor; recolor.load_config(); recolor.Config; recolor.errors")


def test_manifests_are_read_without_torch():
    assert "torch" not in loaded_after("import recolor; recolor.read_manifest")


def test_type_checkers_see_the_same_names():
    """The imports for type checkers and the table of modules are written by hand, side by side."""
    source = Path(recolor.__file__).read_text()
    for name, module in recolor._MODULES.items():
        assert f"    from {module} import {name} as {name}\n" in source


@pytest.mark.parametrize("name", sorted(NAMES - {"errors"}))
def test_each_public_name_is_documented_with_an_example(name):
    text = inspect.getdoc(getattr(recolor, name))
    assert text
    assert "\nExamples:\n" in text, f"recolor.{name} has no section `Examples:`"
