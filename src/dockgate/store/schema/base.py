"""The base of every table: the metadata that lists them, and the usual columns."""

from sqlalchemy import Column, ForeignKey, Integer, MetaData

from dockgate.shared.text_types import TextType
from dockgate.store.columns import SafeText, TextOrEmpty, TypedText

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def define_sequence() -> Column[int]:
    """The column of the order in which rows were inserted."""
    return Column("seq", Integer, primary_key=True)


def define_text(name: str, *foreign_keys: ForeignKey, primary_key: bool = False, unique: bool = False) -> Column[str]:
    """A required text column."""
    return Column(name, SafeText, *foreign_keys, primary_key=primary_key, unique=unique, nullable=False)


def define_typed_text(
    name: str, kind: type[TextType], *foreign_keys: ForeignKey, primary_key: bool = False, unique: bool = False
) -> Column[str]:
    """A required text column, whose texts are of a type of their own."""
    return Column(name, TypedText(kind), *foreign_keys, primary_key=primary_key, unique=unique, nullable=False)


def define_text_or_empty(name: str, *, primary_key: bool = False) -> Column[str]:
    """A text, or an empty one that is None in Python."""
    return Column(name, TextOrEmpty, primary_key=primary_key, nullable=False)


def define_optional_text(name: str) -> Column[str]:
    """A text, or null."""
    return Column(name, SafeText, nullable=True)
