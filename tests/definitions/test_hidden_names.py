"""Features that are named like what every view has are read by name, never by an attribute."""

import pytest

import skewless as sl

ROWS = sl.Source("rows", schema={"k": str, "words": float, "at_home": float}, event_time="at")
KEYS = sl.Entity("e", k=str)
HIDDEN = ("words", "on", "at", "of", "roles", "bound", "name", "entity", "source", "features")


@pytest.mark.parametrize("name", HIDDEN)
def test_a_feature_that_an_attribute_hides_is_an_item_and_no_attribute_of_a_class(name):
    view = sl.FeatureView("V", entity=KEYS, source=ROWS, features={name: ROWS["words"].latest()})
    assert view[name].reference == f"V:{name}"
    assert view.features == (name,)
    with pytest.raises(sl.DefinitionError, match="would hide the feature"):
        sl.feature_view(entity=KEYS, source=ROWS)(type("V", (), {name: ROWS["words"].latest()}))


def test_columns_of_a_wide_table_may_be_called_so():
    @sl.feature_view(entity=KEYS, source=ROWS)
    class Wide:
        everything = ROWS.latest("*")

    assert Wide["words"].reference == "Wide:words"
    assert Wide.at_home.reference == "Wide:at_home"
