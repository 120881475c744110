"""Verdicts on Inspector's findings, and their storage."""

import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any
from urllib.parse import quote

from dockgate import __version__
from dockgate.aws.functions.settings import Settings
from dockgate.aws.scans import ScanState
from dockgate.gate import evaluate, rules, waivers
from dockgate.gate.external import ReadContext, inspector
from dockgate.gate.model import ExemptionSet, Policy, Verdict, VerdictCase, Waiver
from dockgate.gate.policy import REFERENCE_RULE, decode_policy, make_policy
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.aws_locations import S3Location, SsmParameter, parse_document
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.errors import UsageError
from dockgate.shared.references import ImageReference
from dockgate.vulnerabilities.versions import Orders

# The canonical policy in the archive.
POLICY_FILE = "policy.json"
REFERENCE = "reference-2022"

# Report -> suffix of the object's name, and its content type.
_FORMS = {
    "html": ("html", "text/html; charset=utf-8"),
    "json": ("json", "application/json"),
    "case": ("case.json", "application/json"),
}
# Console host by partition. In other partitions links name bucket and key.
_CONSOLES = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """A verdict and its inputs."""

    verdict: Verdict
    case: VerdictCase
    repository: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored verdict: its `page`, and `content`, the digest of everything in it but the time."""

    page: str
    content: str


class _Ecosystems(Sequence[Ecosystem]):
    """All ecosystems, imported when a version is compared: most verdicts compare none."""

    @cached_property
    def _loaded_ecosystems(self) -> Sequence[Ecosystem]:
        from dockgate.scanner import ecosystems

        return ecosystems.load()

    def __len__(self) -> int:
        return len(self._loaded_ecosystems)

    def __getitem__(self, at: Any) -> Any:
        return self._loaded_ecosystems[at]


class Verdicts:
    """`s3` and `ssm` are boto3 clients; `now` gives RFC 3339 in UTC."""

    def __init__(self, settings: Settings, s3: Any, ssm: Any, now: Callable[[], str]) -> None:
        self._settings = settings
        self._s3 = s3
        self._ssm = ssm
        self._now = now
        self._rules = rules.load()
        self._ecosystems = _Ecosystems()

    def judge(
        self, digest: str, repository: str | None, scan_state: ScanState, *, is_named: bool = True
    ) -> JudgedImage:
        """The verdict on a scan; missing evidence is Undetermined.

        Unless `is_named`, the repository is one of those that the image was scanned in: who copies the image chooses
        it, so waivers of a repository do not count.

        Raises the client's errors, and UsageError, DefinitionError or ValueError for an unreadable policy or waivers.
        """
        now = self._now()
        compare = Orders(self._ecosystems).compare
        external_reports = (
            inspector.FORMAT.read(document, ReadContext(name, compare=compare))
            for name, document in scan_state.documents.items()
        )
        case = VerdictCase(
            image=digest,
            policy=self.read_policy(),
            now=now,
            engine=__version__,
            waivers=ExemptionSet(
                waivers.select_waivers(
                    self._read_waivers(), repository if is_named else None, (digest, *scan_state.documents), now
                )
            ),
            external_reports=tuple(part for parts in external_reports for part in parts),
            no_scan_reason=scan_state.fault,
        )
        return JudgedImage(evaluate.judge(case, self._ecosystems, self._rules), case, repository)

    def read_policy(self) -> Policy:
        """The current policy: thresholds of the environment, else a document, else the archive's."""
        if self._settings.thresholds:
            rule = next(rule for rule in self._rules if rule.name == REFERENCE_RULE)
            settings = {**rule.parse_settings(dict(self._settings.thresholds)), "action": "reject"}
            return make_policy(REFERENCE, {rule.name: (settings,)})
        if self._settings.policy:
            return decode_policy(self._read_document(self._settings.policy))
        return decode_policy(resources.files("dockgate.aws").joinpath(POLICY_FILE).read_bytes())

    def keep_evidence(self, judged_image: JudgedImage, earlier_evidence: Collection[Evidence] = ()) -> Evidence:
        """Store the verdict as a page and as JSON, with its case, under its digest. Idempotent.

        `earlier_evidence` is that of an earlier attempt: the same verdict at another time is not stored again.
        """
        content = _hash_content(judged_image)
        for evidence in earlier_evidence:
            if evidence.content == content:
                return evidence
        from dockgate.reports import GateReport, load

        verdict, case = judged_image.verdict, judged_image.case
        name = get_hex(compute_digest(canonical.encode(verdict)))
        key = f"verdicts/{get_hex(verdict.image)}/{name}"
        repository = judged_image.repository
        reference = str(ImageReference(repository, verdict.image)) if repository else verdict.image
        report = GateReport(reference, verdict, tuple(report.inventory for report in case.external_reports), case)
        bucket = self._settings.bucket
        for form, (suffix, kind) in _FORMS.items():
            page = io.StringIO()
            load(form).write_verdict(report, page)
            body = page.getvalue().encode("utf-8", "backslashreplace")
            self._s3.put_object(Bucket=bucket, Key=f"{key}.{suffix}", Body=body, ContentType=kind)
        region = self._settings.region
        console = _CONSOLES.get(self._settings.partition, "").format(region=region)
        url = f"https://{console}/s3/object/{bucket}?region={region}&prefix={quote(key)}.html"
        if not console:
            url = str(S3Location(bucket, f"{key}.html"))
        return Evidence(url, content)

    def _read_waivers(self) -> Sequence[Waiver]:
        if not self._settings.waivers:
            return ()
        return canonical.decode(ExemptionSet, self._read_document(self._settings.waivers)).waivers

    def _read_document(self, location: str) -> bytes:
        """The document at s3://BUCKET/KEY or ssm:NAME."""
        document = parse_document(location)
        if document is None:
            raise UsageError(f"{location!r} is not the location of a document", "Write s3://BUCKET/KEY or ssm:NAME.")
        if isinstance(document, SsmParameter):
            answer = self._ssm.get_parameter(Name=document.name, WithDecryption=True)
            return str(answer["Parameter"]["Value"]).encode()
        body: bytes = self._s3.get_object(Bucket=document.bucket, Key=document.key)["Body"].read()
        return body


def _hash_content(judged_image: JudgedImage) -> str:
    verdict, inputs = judged_image.verdict, judged_image.verdict.inputs
    made_from = [judged_image.repository or "", inputs.engine, inputs.policy, inputs.waivers, inputs.no_scan_reason]
    parts = [verdict.image, verdict.policy, verdict.status, verdict.summary, verdict.platform_verdicts]
    return compute_digest(canonical.encode([*made_from, *parts]))
