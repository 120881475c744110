"""The table's own language, in both directions."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dockgate.aws.functions.table import _encode_item, _from_dynamodb_item

values = st.recursive(
    st.text() | st.integers(-(10**20), 10**20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), values, max_size=3))
def test_an_item_of_a_table_is_read_as_it_was_written(item: dict[str, object]) -> None:
    assert _from_dynamodb_item(_encode_item(item)) == item
