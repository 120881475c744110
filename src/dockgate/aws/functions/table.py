"""A DynamoDB table through the client, which is thread-safe and faster to create than boto3's resource."""

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
        item = self._dynamodb.get_item(TableName=self._name, Key=_typed_all(key), ConsistentRead=True).get("Item")
        return _plain_all(item) if item else None

    def put(
        self,
        item: Item,
        condition: str = "",
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        arguments = _condition_arguments(condition, names, values)
        return self._is_written(
            lambda: self._dynamodb.put_item(TableName=self._name, Item=_typed_all(item), **arguments)
        )

    def update(
        self,
        key: Item,
        change: str,
        condition: str,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        arguments = {"UpdateExpression": change, **_condition_arguments(condition, names, values)}
        return self._is_written(
            lambda: self._dynamodb.update_item(TableName=self._name, Key=_typed_all(key), **arguments)
        )

    def delete(self, key: Item) -> bool:
        """Delete an item; returns whether it existed."""
        arguments = _condition_arguments("attribute_exists(digest)", None, None)
        return self._is_written(
            lambda: self._dynamodb.delete_item(TableName=self._name, Key=_typed_all(key), **arguments)
        )

    def query(self, **query: Any) -> Iterator[Item]:
        """All items, page by page. `query` is in the form of the client, with plain values."""
        query["ExpressionAttributeValues"] = _typed_all(query["ExpressionAttributeValues"])
        while True:
            answer = self._dynamodb.query(TableName=self._name, **query)
            yield from map(_plain_all, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _is_written(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _condition_arguments(
    condition: str, names: Mapping[str, str] | None, values: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The arguments that are set: DynamoDB refuses empty ones."""
    arguments: dict[str, Any] = {}
    if condition:
        arguments["ConditionExpression"] = condition
    if names:
        arguments["ExpressionAttributeNames"] = dict(names)
    if values:
        arguments["ExpressionAttributeValues"] = _typed_all(values)
    return arguments


def _typed_all(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _typed(value) for key, value in values.items()}


def _plain_all(values: Mapping[str, Any]) -> Item:
    return {key: _plain(value) for key, value in values.items()}


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, Mapping):
        return {"M": _typed_all(value)}
    return {"L": [_typed(entry) for entry in value]}


def _plain(typed: Mapping[str, Any]) -> Any:
    ((kind, value),) = typed.items()
    if kind == "N":
        return int(value)
    if kind == "M":
        return _plain_all(value)
    return [_plain(entry) for entry in value] if kind == "L" else value
