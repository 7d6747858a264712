from pathlib import Path

import pytest

from recolor.manifests.io import schema_markdown
from recolor.manifests.schemas import SCHEMAS

README = Path(__file__).parents[2] / "manifests" / "README.md"


def test_the_manifests_readme_states_every_schema_as_it_is():
    assert README.read_text(encoding="utf-8").endswith("\n" + schema_markdown()), (
        "manifests/README.md is not what the schemas say: replace its tables by the output of `recolor schemas`"
    )


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_every_column_has_a_name_of_its_own_a_unit_a_range_and_a_meaning(schema):
    names = [column.name for column in schema.columns]
    assert len(set(names)) == len(names)
    for column in schema.columns:
        assert column.unit, column.name
        assert column.range, column.name
        assert column.meaning.endswith("."), column.name
        assert "|" not in column.meaning + column.unit + column.range, column.name
