"""A DynamoDB table through the client.

The client is thread-safe, and faster to create than boto3's resource.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Texts, whole numbers, lists and maps of them.
Item = dict[str, Any]


class Table:
    """A DynamoDB table. `dynamodb` is a boto3 client. Each write returns whether its condition was met."""

    def __init__(self, dynamodb: Any, name: str) -> None:
        self._dynamodb = dynamodb
        self._name = name

    def get(self, key: Item) -> Item | None:
        """Return the item with this key, read consistently, or None."""
        item = self._dynamodb.get_item(TableName=self._name, Key=_encode_item(key), ConsistentRead=True).get("Item")
        return _from_dynamodb_item(item) if item else None

    def put(
        self,
        item: Item,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write an item if `condition` (an expression of DynamoDB) is met."""
        arguments = _make_condition_arguments(condition, names, values)
        return self._write(lambda: self._dynamodb.put_item(TableName=self._name, Item=_encode_item(item), **arguments))

    def update(
        self,
        key: Item,
        change: str,
        condition: str,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Apply an update expression if `condition` is met. `names` and `values` are those of both."""
        arguments = {"UpdateExpression": change, **_make_condition_arguments(condition, names, values)}
        return self._write(lambda: self._dynamodb.update_item(TableName=self._name, Key=_encode_item(key), **arguments))

    def delete(self, key: Item) -> bool:
        """Delete an item; returns whether it existed."""
        arguments = _make_condition_arguments("attribute_exists(digest)", None, None)
        return self._write(lambda: self._dynamodb.delete_item(TableName=self._name, Key=_encode_item(key), **arguments))

    def query(self, **query: Any) -> Iterator[Item]:
        """All items, page by page. `query` is in the form of the client, with plain values."""
        query["ExpressionAttributeValues"] = _encode_item(query["ExpressionAttributeValues"])
        while True:
            answer = self._dynamodb.query(TableName=self._name, **query)
            yield from map(_from_dynamodb_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _write(self, write: Callable[[], object]) -> bool:
        """Call `write`; returns whether its condition was met."""
        try:
            write()
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _make_condition_arguments(
    condition: str | None, names: Mapping[str, str] | None, values: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The arguments that are set: DynamoDB refuses empty ones."""
    arguments: dict[str, Any] = {}
    if condition:
        arguments["ConditionExpression"] = condition
    if names:
        arguments["ExpressionAttributeNames"] = dict(names)
    if values:
        arguments["ExpressionAttributeValues"] = _encode_item(values)
    return arguments


def _encode_item(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _encode_value(value) for key, value in values.items()}


def _from_dynamodb_item(values: Mapping[str, Any]) -> Item:
    return {key: _from_dynamodb(value) for key, value in values.items()}


def _encode_value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, Mapping):
        return {"M": _encode_item(value)}
    return {"L": [_encode_value(entry) for entry in value]}


def _from_dynamodb(typed_value: Mapping[str, Any]) -> Any:
    ((kind, value),) = typed_value.items()
    if kind == "N":
        return int(value)
    if kind == "M":
        return _from_dynamodb_item(value)
    return [_from_dynamodb(entry) for entry in value] if kind == "L" else value
