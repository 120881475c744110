"""Events matched against rules in one process: events a second.

    python bench/events.py [--rules 100] [--events 20000]

The events are a mix as a busy server writes it: images judged, scans, verdicts that change, executions and actions. The
rules are such as teams write: mostly a kind of event and a condition on the team's repositories. "selective" rules name
what they want by an exact value, "by wildcard" ones say it by prefix, suffix, wildcard, number and exclusion only, so
that none can be skipped by looking it up. The time does not include decoding JSON; "with decoding" does.
"""

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Mapping
from typing import Any

from dockgate.events.pattern import PatternSet, compile_pattern

KINDS = ("image.judged", "verdict.changed", "service.at_risk", "approval.needed", "execution.failed", "tag.moved")
STATUSES = ("Approved", "Rejected", "Undetermined")
TEAMS = tuple(f"team-{number}" for number in range(40))


def main(rules: int, events: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    dice = random.Random(14)  # noqa: S311 - the same events at each run
    bodies = [make_event(dice, number) for number in range(events)]
    print(f"{events} events of {sum(len(json.dumps(body)) for body in bodies) // events} bytes, {rules} rules")
    for name, make in (("selective", make_selective_rule), ("by wildcard", make_wildcard_rule)):
        patterns = PatternSet({str(number): compile_pattern(make(dice, number)) for number in range(rules)})
        measure(name, patterns, bodies)


def measure(name: str, patterns: PatternSet, bodies: list[dict[str, Any]]) -> None:
    texts = [json.dumps(body) for body in bodies]
    start = time.process_time()
    matches = sum(len(patterns.find_matches(body)) for body in bodies)
    match_end = time.process_time()
    for text in texts:
        patterns.find_matches(json.loads(text))
    end = time.process_time()
    rate, decode_rate = len(bodies) / (match_end - start), len(bodies) / (end - match_end)
    print(f"{name:12} {rate:9,.0f} events/s   with decoding {decode_rate:9,.0f} events/s   {matches} matches")


def make_event(dice: random.Random, number: int) -> dict[str, Any]:
    team = dice.choice(TEAMS)
    repository = f"{team}/app-{dice.randrange(30)}"
    kind = dice.choice((*KINDS, "Inspector2 Scan", "CodePipeline Action Execution State Change"))
    body = {
        "version": "0",
        "id": f"{kind}/{number}",
        "detail-type": kind,
        "source": "dockgate",
        "account": "000000000000",
        "time": "2026-11-28T10:00:00.000Z",
        "region": "local",
        "resources": [f"arn:aws:ecr:local:000000000000:repository/{repository}"],
    }
    counts = {"CRITICAL": dice.randrange(3), "HIGH": dice.randrange(9), "MEDIUM": 4, "TOTAL": 20}
    detail: dict[str, Any]
    if kind == "Inspector2 Scan":
        detail = {
            "scan-status": "INITIAL_SCAN_COMPLETE",
            "finding-severity-counts": counts,
            "image-tags": ["v1", "main"],
        }
        detail |= {"repository-name": body["resources"][0], "image-digest": f"sha256:{number:064x}", "version": "1.0"}
        body["source"] = "aws.inspector2"
    elif kind.startswith("CodePipeline"):
        detail = {
            "pipeline": team,
            "execution-id": str(number),
            "stage": "Build",
            "action": "Build",
            "state": "SUCCEEDED",
        }
        detail |= {"type": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}, "version": 1}
        body["source"] = "aws.codepipeline"
    else:
        detail = {
            "repository": repository,
            "image": f"sha256:{number:064x}",
            "tags": ["v1", "main"],
            "policy": "default",
        }
        detail |= {
            "status": dice.choice(STATUSES),
            "counts": counts,
            "owners": [team],
            "summary": "2 CRITICAL, 1 HIGH",
        }
    return {**body, "detail": detail}


def make_selective_rule(dice: random.Random, number: int) -> Mapping[str, Any]:
    team, kind = dice.choice(TEAMS), dice.choice(KINDS)
    dockgate_pattern: dict[str, Any] = {"source": ["dockgate"], "detail-type": [kind]}
    match number % 5:
        case 0:
            return {
                **dockgate_pattern,
                "detail": {"repository": [{"prefix": f"{team}/"}], "status": ["Rejected", "Undetermined"]},
            }
        case 1:
            return {**dockgate_pattern, "detail": {"owners": [team], "counts": {"CRITICAL": [{"numeric": [">", 0]}]}}}
        case 2:
            return {
                **dockgate_pattern,
                "detail": {"repository": [{"wildcard": f"{team}/*-1*"}], "tags": [{"anything-but": "main"}]},
            }
        case 3:
            scan = {"repository-name": [{"suffix": f"{team}/app-1"}], "scan-status": ["INITIAL_SCAN_COMPLETE"]}
            return {"source": ["aws.inspector2"], "detail-type": ["Inspector2 Scan"], "detail": scan}
        case _:
            states = {"pipeline": [team], "state": ["FAILED"]}
            return {"source": ["aws.codepipeline"], "detail": {"$or": [states, {"stage": ["Deploy"], "action": ["X"]}]}}


def make_wildcard_rule(dice: random.Random, number: int) -> Mapping[str, Any]:
    team = dice.choice(TEAMS)
    match number % 4:
        case 0:
            return {"detail-type": [{"prefix": "image."}], "detail": {"repository": [{"wildcard": f"{team}/*-1*"}]}}
        case 1:
            return {"detail": {"counts": {"CRITICAL": [{"numeric": [">", 0]}]}, "repository": [{"suffix": "app-7"}]}}
        case 2:
            return {"resources": [{"suffix": f"{team}/app-1"}], "detail": {"status": [{"anything-but": "Approved"}]}}
        case _:
            return {"detail": {"$or": [{"image-tags": [{"prefix": "w"}]}, {"tags": [{"equals-ignore-case": "X"}]}]}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    main(options.rules, options.events)
