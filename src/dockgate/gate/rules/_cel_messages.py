"""Protocol buffer messages that are declared in Python, without generated code.

protobuf is imported at first use.
"""

from collections.abc import Mapping
from typing import Any

# Message -> field -> number and type: a scalar, a message, or the name of a google.protobuf wrapper; "[]" for a list.
Messages = Mapping[str, Mapping[str, tuple[int, str]]]


def build_message_pool(package: str, syntax: str, messages: Messages) -> Any:
    """A descriptor pool with these messages and the wrappers of google.protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2  # type: ignore[import-untyped]

    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax=syntax, dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": kinds.TYPE_STRING, "bool": kinds.TYPE_BOOL, "int64": kinds.TYPE_INT64}
    for message, fields in messages.items():
        message_type = file.message_type.add(name=message)
        for name, (number, declared_type) in fields.items():
            base_type = declared_type.removesuffix("[]")
            field = message_type.field.add(name=name, number=number)
            field.label = kinds.LABEL_OPTIONAL if base_type == declared_type else kinds.LABEL_REPEATED
            field.type = scalars.get(base_type, kinds.TYPE_MESSAGE)
            if base_type not in scalars:
                field.type_name = f".{package if base_type in messages else 'google.protobuf'}.{base_type}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def build_message_classes(pool: Any, package: str, messages: Messages) -> dict[str, Any]:
    """The class of each message."""
    from google.protobuf import message_factory

    names = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in messages}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in names.items()}
