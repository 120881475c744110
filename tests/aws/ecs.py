"""An ECS for tests: moto keeps the services and task definitions, and what moto lacks, the scheduler that starts and
stops a service's tasks, is here. It moves whenever it is looked at.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

CLUSTER = "main"
CONTAINER = {"name": "app", "image": "public.ecr.aws/docker/library/busybox:1.36", "memory": 64, "essential": True}
_PAGE = 100
"""tasks in one answer of ListTasks, and in one question of DescribeTasks: the most that ECS allows"""
SIDECAR = {"name": "log", "image": "amazon/log@sha256:" + "9" * 64, "memory": 32, "essential": False}


class Ecs:
    """In place of a boto3 client for ECS, over moto's. Tasks of an image in `sick` end at once, with code 7. `gives_up`
    makes it a service with a circuit breaker: the rollout of such a revision is FAILED."""

    def __init__(self, client: Any, sick: tuple[str, ...] = (), gives_up: bool = False) -> None:
        self.client = client
        self.sick = sick
        self.gives_up = gives_up
        self.tasks: dict[str, dict[str, Any]] = {}
        client.create_cluster(clusterName=CLUSTER)

    def create(self, service: str, count: int = 0) -> None:
        """A service that was created in ECS before Dockgate was deployed."""
        tags = [{"key": "team", "value": "web"}]
        answer = self.client.register_task_definition(
            family=f"{service}-family",
            containerDefinitions=[CONTAINER, SIDECAR],
            tags=tags,
            taskRoleArn="arn:aws:iam::1:role/r",
        )
        arn = answer["taskDefinition"]["taskDefinitionArn"]
        self.client.create_service(cluster=CLUSTER, serviceName=service, taskDefinition=arn, desiredCount=count)

    def describe_services(self, cluster: str, services: list[str]) -> dict[str, Any]:
        answer = self.client.describe_services(cluster=cluster, services=services)
        for service in answer["services"]:
            service["deployments"] = [self._schedule_tasks(service)]
        return dict(answer)

    def describe_tasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert 0 < len(tasks) <= 100
        return {"tasks": [self.tasks[arn] for arn in tasks], "failures": []}

    def get_paginator(self, name: str) -> Any:
        return _Pages(self._list) if name == "list_tasks" else self.client.get_paginator(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def _list(self, cluster: str, serviceName: str, desiredStatus: str) -> list[dict[str, Any]]:  # noqa: N803
        self.describe_services(cluster, [serviceName])
        arns = [
            arn
            for arn, task in self.tasks.items()
            if (task["group"], task["desiredStatus"]) == (f"service:{serviceName}", desiredStatus)
        ]
        later_pages = [arns[at : at + _PAGE] for at in range(1, len(arns), _PAGE)]
        return [{"taskArns": page} for page in (arns[:1], *later_pages)]

    def _schedule_tasks(self, service: dict[str, Any]) -> dict[str, Any]:
        """Tasks come and go as the service wants; its deployment, as DescribeServices tells it."""
        arn, count = service["taskDefinition"], service["desiredCount"]
        group = f"service:{service['serviceName']}"
        running_tasks = [
            task for task in self.tasks.values() if task["group"] == group and task["desiredStatus"] == "RUNNING"
        ]
        right = [task for task in running_tasks if task["taskDefinitionArn"] == arn]
        for task in running_tasks:
            if task not in right[:count]:
                task.update(desiredStatus="STOPPED", lastStatus="STOPPED")
        definition = self.client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        containers = definition["containerDefinitions"]
        for _ in range(count - len(right)):
            self._start(arn, group, containers)
        well = not any(container["image"] in self.sick for container in containers)
        has_failed = count and not well and self.gives_up
        return {
            "status": "PRIMARY",
            "taskDefinition": arn,
            "rolloutState": "FAILED" if has_failed else "COMPLETED" if well or not count else "IN_PROGRESS",
            "rolloutStateReason": "ECS deployment circuit breaker: tasks failed to start." if has_failed else "",
        }

    def _start(self, arn: str, group: str, containers: list[dict[str, Any]]) -> None:
        well = not any(container["image"] in self.sick for container in containers)
        state = "RUNNING" if well else "STOPPED"
        name = f"arn:aws:ecs:eu-west-1:123456789012:task/{CLUSTER}/{uuid.uuid4().hex}"
        self.tasks[name] = {
            "taskArn": name,
            "group": group,
            "taskDefinitionArn": arn,
            "desiredStatus": state,
            "lastStatus": state,
            "startedAt": datetime(2026, 11, 24, 10, tzinfo=UTC),
            "containers": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "networkBindings": [{"containerPort": 8080, "hostPort": 49_153}],
                    **({} if well else {"exitCode": 7, "reason": "cannot find my database"}),
                }
                for container in containers
            ],
        }


class _Pages:
    def __init__(self, pages: Callable[..., list[dict[str, Any]]]) -> None:
        self.paginate = pages
