"""Executions and votes during which servers, workers, registries, database and network are killed, frozen and cut.

    python bench/chaos.py [--seconds 900] [--executions 25] [--database sqlite|postgres|both] [--seed N] [--only kill]

Runs one round after the other until the time is over, each with the next seed, which plans all faults. A round on
SQLite has one server, on Postgres a server and three workers, each in a network namespace of its own. After each round
all executions must have ended as they would have without faults: what is approved is deployed once, nothing else is,
every approval has one answer, and each person's vote counts once, though it is sent twice. A failure prints the seed
that repeats its plan, and leaves the round's folder.
"""

import argparse
import heapq
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from _chaos_audit import AnswerAudit
from _chaos_plan import FAULTS_SECONDS, VOTERS, PlannedExecution, plan_executions

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests run the same nodes
from tests.parts import wait_until
from tests.scenarios.live import PIPELINE, Clone
from tests.scenarios.node_process import EFFECTS
from tests.scenarios.nodes import Node, Nodes, push, run_nodes, set_up

from dockgate.store.records import OutboxKind
from dockgate.store.signals import CHANNEL, Topic

LEASE_SECONDS = 6
# How long the executions of a round may take after its faults.
PATIENCE_SECONDS = 240.0
OVER = ("Succeeded", "Failed", "Stopped")
APPROVERS = f"\n        approvers: {{principals: [{', '.join(VOTERS)}], count: {len(VOTERS)}}}\n  - name: Deploy"


@dataclass
class Round:
    """One cluster, its executions and its faults."""

    seed: int
    database: str
    count: int
    nodes: Nodes
    # Faults of these kinds alone: the beginning of their names.
    only: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    # (when, number, harm's end) on the monotonic clock.
    pending: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    harmed: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    # Tokens: of the administrator, and by voter.
    token: str = ""
    voters: dict[str, str] = field(default_factory=dict)

    def play(self) -> None:
        dice = random.Random(self.seed)  # noqa: S311 - not for secrets
        executions = plan_executions(dice, self.count)
        self.server = self.nodes.add_server("server")
        if self.database == "postgres":
            for name, queues in (("w1", "build,scan,deliver"), ("w2", "build,deploy,scan"), ("w3", "deploy,upkeep")):
                self.nodes.add_worker(name, queues)
        for node in self.nodes.nodes:
            node.begin()
        self.nodes.set_up_advisories()
        for node in self.nodes.nodes:
            wait_until(lambda node=node: self.has_started(node), seconds=240)  # type: ignore[misc]
        self.make_audit().install()
        self.add_people()
        clones = {execution.name: self.set_up(execution) for execution in executions}
        begin = time.monotonic()

        def push_all() -> None:
            for execution in sorted(executions, key=lambda entry: entry.at):
                time.sleep(max(0.0, begin + execution.at - time.monotonic()))
                version = "2.0" if execution.is_good else "1.0"
                try:
                    push(clones[execution.name], version, execution.build_seconds)
                except AssertionError:
                    self.repeat_until_done(lambda name=execution.name: clones[name].push() or True)  # type: ignore[misc]

        people = [threading.Thread(target=push_all, daemon=True)]
        people += [threading.Thread(target=self.vote, args=(name, executions), daemon=True) for name in VOTERS]
        for person in people:
            person.start()
        self.harm_until(begin + FAULTS_SECONDS, dice)
        end = time.monotonic() + PATIENCE_SECONDS
        while people[0].is_alive() and time.monotonic() < end:
            self.revive_nodes()
            people[0].join(timeout=0.5)
        end_of_play = time.monotonic()
        while unfinished_names := [entry.name for entry in executions if self.read_state(entry.name) not in OVER]:
            self.revive_nodes()
            if time.monotonic() - end_of_play > PATIENCE_SECONDS:
                self.problems.append(f"not over: {unfinished_names}")
                return
            time.sleep(0.5)
        self.check(executions)

    def add_people(self) -> None:
        """Add an administrator, who pushes, and the voters."""
        output = self.server.run_dockgate("principal", "add", "root", "--role", "admin", "--email", "root@example.org")
        self.token = output.splitlines()[-1]
        self.server.environment = {**self.server.environment, "DOCKGATE_TOKEN": self.token}
        for name in VOTERS:
            self.server.post("/principals", {"name": name, "roles": ["approver"], "email": f"{name}@example.org"})
            self.voters[name] = self.server.post("/tokens", {"principal": name})["text"]

    def set_up(self, execution: PlannedExecution) -> Clone:
        clone = set_up(self.server, execution.name)
        clone.run_git("config", "http.extraHeader", f"Authorization: Bearer {self.token}")
        if execution.votes:
            text = PIPELINE.format(
                name=clone.repository, repository=clone.repository, service=clone.repository, timeout="1d"
            )
            self.server.apply(text.replace("\n  - name: Deploy", APPROVERS))
        return clone

    def vote(self, who: str, executions: Sequence[PlannedExecution]) -> None:
        """Vote on every execution that needs people, as soon as it waits, twice, until the server has taken it."""
        unvoted_executions = [execution for execution in executions if execution.votes]
        while unvoted_executions:
            time.sleep(0.2)
            for execution in list(unvoted_executions):
                if all(self.has_voted(who, execution) for _ in range(2)):
                    unvoted_executions.remove(execution)

    def has_voted(self, who: str, execution: PlannedExecution) -> bool:
        """Send the vote. Return whether it counts, or comes after the answer."""
        path = f"{self.server.url}/api/v1/approvals/{execution.approval}"
        headers = {"Authorization": f"Bearer {self.voters[who]}"}
        vote = {"is_yes": execution.votes[VOTERS.index(who)], "reason": "because"}
        with suppress(httpx.HTTPError, ValueError):
            if httpx.post(f"{path}/vote", json=vote, headers=headers, timeout=10).is_success:
                return True
            return bool(httpx.get(path, headers=headers, timeout=10).json().get("settled_at"))
        return False

    def has_started(self, node: Node) -> bool:
        """Whether it has started. One that has ended, because the database did not answer in time, is started again."""
        if not node.is_alive():
            node.begin()
        return node.has_started()

    def harm_until(self, end: float, dice: random.Random) -> None:
        number = 0
        while time.monotonic() < end:
            self.heal_nodes(time.monotonic())
            self.revive_nodes()
            number += 1
            self.harm_node(dice, number)
            time.sleep(dice.uniform(0.3, 1.5))
        self.heal_nodes(float("inf"))
        self.revive_nodes()

    def harm_node(self, dice: random.Random, number: int) -> None:
        """One fault, at a node that has no other."""
        kinds = ["kill", "kill", "freeze", "cut", "kill registry", "freeze registry"]
        if self.database == "postgres":
            kinds += ["kill database", "drop notifications", "repeat notifications"]
        kinds = [kind for kind in kinds if kind.startswith(self.only)]
        kind, node = dice.choice(kinds), dice.choice(self.nodes.nodes)
        seconds = dice.choice((0.2, 2.0, LEASE_SECONDS * 1.5, LEASE_SECONDS * 2.5))
        if kind == "kill database":
            self.nodes.database.kill()
            time.sleep(min(seconds, 3.0))
            self.nodes.database.start()
        elif kind == "drop notifications":
            with suppress(psycopg.Error):
                self.nodes.database.execute_statement(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                )
        elif kind == "repeat notifications":
            with suppress(psycopg.Error):
                self.repeat_notifications()
        elif node.name in self.harmed or not node.is_alive() or node.process is None:
            return
        elif kind == "kill":
            node.kill()
        elif kind in ("freeze", "cut"):
            if kind == "freeze":
                node.freeze()
                heal = node.resume
            else:
                self.nodes.network.cut_off(node.space)
                heal = lambda: self.nodes.network.join(node.space)  # noqa: E731
            self.harmed.add(node.name)

            def record_heal() -> None:
                heal()
                self.harmed.discard(node.name)

            heapq.heappush(self.pending, (time.monotonic() + seconds, number, record_heal))
        else:
            process = find_registry_process(node.process.pid)
            if process is None:
                return
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if kind == "kill registry" else signal.SIGSTOP)
            if kind == "freeze registry":
                heapq.heappush(self.pending, (time.monotonic() + min(seconds, 5), number, lambda: resume(process)))
        self.faults[kind] += 1

    def repeat_notifications(self) -> None:
        """Send every signal again that the nodes may have sent: late, twice, and to their senders as well."""
        items = {
            Topic.APPROVALS: [*self.make_audit().read_answers()],
            Topic.SCANS: [""],
            Topic.OUTBOX: [kind.value for kind in OutboxKind],
        }
        with psycopg.connect(self.get_database_url(), autocommit=True) as connection:
            for topic, names in items.items():
                for _ in range(2):
                    text = json.dumps({"from": "chaos", "topic": topic.value, "items": names})
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))

    def heal_nodes(self, moment: float) -> None:
        while self.pending and self.pending[0][0] <= moment:
            heapq.heappop(self.pending)[2]()

    def revive_nodes(self) -> None:
        for node in self.nodes.nodes:
            if node.name not in self.harmed and node.process is not None and not node.is_alive():
                if node.process.returncode not in (-9, 75):
                    # With 1 if the database was away when it started.
                    self.faults[f"ended by itself with {node.process.returncode}"] += 1
                node.begin()

    def repeat_until_done(self, attempt: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                attempt()
                return
            except (AssertionError, httpx.HTTPError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def read_state(self, name: str) -> str:
        with suppress(httpx.HTTPError, KeyError):
            url, headers = f"{self.server.url}/api/v1/executions/{name}-1", self.server.authorization
            answer = httpx.get(url, headers=headers, timeout=10)
            return str(answer.json()["execution"]["state"])
        return ""

    def check(self, executions: Sequence[PlannedExecution]) -> None:
        """Add to `problems` what is not as it would have been without faults."""
        wait_until(self.server.is_answering, seconds=120)
        moments = [line.split(" ", 3)[3] for line in (self.nodes.get_shared_folder / EFFECTS).read_text().splitlines()]
        starts = Counter(moment for moment in moments if moment.startswith("start "))
        answers = self.make_audit().read_answers()
        for execution in executions:
            name = execution.name
            document = self.server.get(f"/executions/{name}-1")
            state = document["execution"]["state"]
            expected_state = "Succeeded" if execution.is_approved else "Failed"
            if state != expected_state:
                self.problems.append(f"{name} is {state}, not {expected_state}: {document['execution']['reason']}")
            service = self.server.get(f"/services/{name}")
            tasks = [(task["id"], task["state"]) for task in service["tasks"]]
            if tasks != ([(f"{name}-2-0", "RUNNING")] if execution.is_approved else []):
                self.problems.append(f"{name} has the tasks {tasks}")
            revisions = [definition["revision"] for definition in service["definitions"]]
            if revisions != ([2, 1] if execution.is_approved else [1]):
                self.problems.append(f"{name} has the revisions {revisions}")
            starts_of_execution = {
                moment: times for moment, times in starts.items() if moment.startswith(f"start {name}-")
            }
            if starts_of_execution != ({f"start {name}-2-0": 1} if execution.is_approved else {}):
                self.problems.append(f"{name}: {starts_of_execution}")
            digests = {moment.split()[-1] for moment in moments if moment.startswith(f"end build {name}/app ")}
            self.faults["builds that were repeated after their push"] += max(0, len(digests) - 1)
            if execution.is_approved and [task["digest"] for task in service["tasks"]][:1] not in [
                [d] for d in digests
            ]:
                self.problems.append(f"{name} runs an image that no build has pushed")
            votes = [
                (vote["who"], vote["is_yes"]) for vote in self.server.get(f"/approvals/{execution.approval}/votes")
            ]
            cast = dict(zip(VOTERS, execution.votes, strict=False))
            self.faults["votes that were counted"] += len(votes)
            if len(votes) != len(dict(votes)) or not dict(votes).items() <= cast.items():
                self.problems.append(f"{name}: the votes {votes}, cast were {cast}")
            if execution.is_approved and len(votes) != len(execution.votes):
                self.problems.append(f"{name} was approved with the votes {votes} of {cast}")
            settled_answers = answers.get(execution.approval, [])
            if settled_answers != [("Waiting", "Approved" if execution.is_approved else "Rejected")]:
                self.problems.append(f"{name}: the answers {settled_answers}")
        for service in self.server.get("/services"):
            if service["service"]["name"] not in {execution.name for execution in executions}:
                self.problems.append(f"a service that is not of this round: {service}")

    def make_audit(self) -> AnswerAudit:
        url = self.get_database_url() if self.database == "postgres" else None
        return AnswerAudit(url, self.nodes.get_shared_folder / "dockgate.db")

    def get_database_url(self) -> str:
        return self.nodes.database.make_url("dockgate").replace("+psycopg", "")


def find_registry_process(server: int) -> int | None:
    """The process of the registry that this server or worker has started."""
    children = subprocess.run(["ps", "--ppid", str(server), "-o", "pid=,args="], capture_output=True, text=True).stdout
    for line in children.splitlines():
        number, _, command = line.strip().partition(" ")
        if "docker-registry" in command:
            return int(number)
    return None


def resume(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def main(seconds: float, count: int, databases: Sequence[str], seed: int, rounds: int | None, only: str) -> int:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    end, total, executions, failed_executions, number = (
        time.monotonic() + seconds,
        Counter[str](),
        Counter[str](),
        [],
        0,
    )
    while time.monotonic() < end and (rounds is None or number < rounds):
        database = databases[number % len(databases)]
        folder = Path(tempfile.mkdtemp(prefix="dockgate-chaos-"))
        began = time.monotonic()
        environment = {"DOCKGATE_TEST_LEASE": str(LEASE_SECONDS), "DOCKGATE_TEST_DEPLOY": "0.3"}
        with run_nodes(folder, is_sqlite=database == "sqlite", **environment) as nodes:
            played_round = Round(seed + number, database, count, nodes, only)
            try:
                played_round.play()
            except Exception:
                played_round.problems.append(traceback.format_exc())
            if played_round.problems and database == "postgres":
                nodes.dump(folder / "database.sql")
        total += played_round.faults
        executions[database] += count
        print(
            f"seed {played_round.seed} on {database}: {count} executions in {time.monotonic() - began:.0f} s, "
            f"{dict(sorted(played_round.faults.items()))}",
            flush=True,
        )
        if played_round.problems:
            failed_executions.append(played_round.seed)
            for problem in played_round.problems:
                print(f"  {problem}")
            print(
                f"  see {folder}; repeat: python bench/chaos.py --database {database} --rounds 1"
                f" --seed {played_round.seed} "
                f"--executions {count} --only '{only}'",
                flush=True,
            )
        else:
            shutil.rmtree(folder, ignore_errors=True)
        number += 1
    kills = sum(times for kind, times in total.items() if kind.startswith("kill"))
    print(f"{number} rounds, {dict(executions)} executions, {kills} kills: {dict(sorted(total.items()))}")
    print(f"failed seeds: {failed_executions or 'none'}")
    return 1 if failed_executions else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--executions", type=int, default=25)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--only", default="", choices=("kill", "freeze", "cut"), help="faults of these kinds alone")
    options = parser.parse_args()
    databases = ("sqlite", "postgres") if options.database == "both" else (options.database,)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    sys.exit(main(options.seconds, options.executions, databases, first, options.rounds, options.only))
