"""A small model of the reference solution's logic, from its description: two functions, one table, one pipeline.

Only its meaning is modelled: what its functions read, compare, store and answer, and when its scanner sends an event.
"""

from dataclasses import dataclass, field

from tests.scenarios.defects import PlannedFindings

CRITICAL_FINDING_THRESHOLD = 0
HIGH_FINDING_THRESHOLD = 0
MEDIUM_FINDING_THRESHOLD = 10
LOW_FINDING_THRESHOLD = 15  # configured, never read


class SpentTokenError(Exception):
    """The pipeline refuses a second answer with one token."""


@dataclass
class Reference:
    """`table` maps a digest to the token that waits for it; `results` a token to the answer given with it."""

    findings: dict[str, PlannedFindings] = field(default_factory=dict)
    table: dict[str, str] = field(default_factory=dict)
    results: dict[str, tuple[str, str]] = field(default_factory=dict)
    scanned_once: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    tokens: int = 0

    def plan_image(self, name: str, findings: PlannedFindings) -> str:
        digest = f"sha256:{name}"
        self.findings[digest] = findings
        return digest

    def request_approval(self, image: str) -> str:
        """The approval's message comes, and the first function stores the token by digest."""
        self.tokens += 1
        token = f"token-{self.tokens}"
        self.table[image] = token
        return token

    def request_approval_after_scan(self, image: str) -> str:
        self.end_scan(image)
        return self.request_approval(image)

    def accept(self, image: str) -> None:
        """Counts do not say which findings they are of."""

    def end_scan(self, image: str) -> None:
        """The scanner sends its event after a first scan only, and the rule lets repeats of the same event through."""
        self.scanned_once.add(image)
        self._judge(image)

    def _judge(self, image: str) -> None:
        """The second function."""
        findings = self.findings[image]
        if findings.status != "COMPLETE":
            return
        counts = {severity: findings.counts.get(severity, 0) for severity in findings.counts}
        for severity, number in findings.unfixable.items():
            counts[severity] = counts.get(severity, 0) + number
        status, summary = "Approved", "All vulnerabilities below thresholds"
        for word, threshold in (
            ("CRITICAL", CRITICAL_FINDING_THRESHOLD),
            ("HIGH", HIGH_FINDING_THRESHOLD),
            ("MEDIUM", MEDIUM_FINDING_THRESHOLD),
        ):
            count = counts[word]
            if count != 0 and count >= threshold:
                status = "Rejected"
                summary = f"{word.capitalize()} vulnerability threshold of {threshold} exceeded"
                break
        token = self.table.get(image)
        if token is None:
            return
        if token in self.results:
            raise SpentTokenError(token)
        self.results[token] = (status, summary)

    def answer(self, execution: str) -> str | None:
        return self.results.get(execution, (None, ""))[0]

    def read_summary(self, execution: str) -> str:
        return self.results[execution][1]

    def count_answers(self, execution: str) -> int:
        return 1 if execution in self.results else 0

    def count_expired_rows(self) -> int:
        return len(self.table)

    def deploy_image(self, image: str) -> None:
        self.request_approval(image)
        self.end_scan(image)
        self.running.add(image)

    def publish_advisory(self, image: str) -> None:
        """The scanner sends another kind of event, which no rule waits for."""

    def is_at_risk(self, image: str) -> bool:
        return False

    def is_running(self, image: str) -> bool:
        return image in self.running

    def redeploy_image(self, image: str) -> str:
        self.running.add(image)
        return "Deployed"
