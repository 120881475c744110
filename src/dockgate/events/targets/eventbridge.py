"""Events on a bus of Amazon EventBridge, for its rules to match."""

import json
from typing import Any

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.targets._aws import AwsAdapter, make_detail
from dockgate.shared.aws import BUS, translate_aws_errors
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override
from dockgate.shared.wording import replace_surrogates

# PutEvents refuses sources that begin with "aws.": events in AWS's shape get this instead.
_AWS_PREFIX, _OWN_PREFIX = "aws.", "dockgate."
_LONGEST_TYPE = 128


class EventBridgeAdapter(AwsAdapter):
    """A sender of events to an EventBridge bus.

    A message that is sent again is a second event with the same id in its detail's `dockgate-event`.
    """

    type = TargetType.EVENTBRIDGE
    arn_form = BUS

    @override
    def _send(self, target: Target, message: Message) -> None:
        bus = str(target.settings["arn"])
        region = self._parse_arn(target)["region"]
        source = str(message.event.get("source") or "dockgate")
        entry: dict[str, Any] = {
            "Source": f"{_OWN_PREFIX}{source.removeprefix(_AWS_PREFIX)}" if source.startswith(_AWS_PREFIX) else source,
            "DetailType": str(message.event.get("detail-type") or "event")[:_LONGEST_TYPE],
            "Detail": replace_surrogates(
                json.dumps(
                    {**make_detail(message), "dockgate-event": message.key}, ensure_ascii=False, separators=(",", ":")
                )
            ),
            "EventBusName": bus,
            "Resources": [str(resource) for resource in message.event.get("resources") or ()],
        }
        with translate_aws_errors(f"putting an event on the bus {bus}"):
            answer = self._clients("events", region).put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            (answer_entry,) = answer["Entries"]
            raise UnavailableError(
                f"the bus {bus} took no event: {answer_entry.get('ErrorCode')}: {answer_entry.get('ErrorMessage')}",
                "Check that the event bus exists in this region.",
            )
