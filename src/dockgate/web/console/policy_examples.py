"""Policies to begin with: complete rules.

The page of a policy and the templates of new ones offer them. Pure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolicyExample:
    """Rules as YAML. `title` is a few words, `sentence` what such a policy is for."""

    id: str
    title: str
    sentence: str
    text: str


EXAMPLES = (
    PolicyExample(
        "strict",
        "Nothing critical, high or exploited",
        "Every finding counts, fixed or not: for what faces the internet.",
        """\
max_findings: {CRITICAL: 0, HIGH: 0}
exploited: {max: 0}
""",
    ),
    PolicyExample(
        "fixable",
        "Only what can be fixed",
        "Findings without a fix do not block, as no upgrade removes them. Exploited ones do.",
        """\
max_findings:
  CRITICAL: 0
  HIGH: 0
  MEDIUM: 10
  only_fixable: true
  untriaged_counts_as: HIGH
exploited: {max: 0}
""",
    ),
    PolicyExample(
        "grace",
        "Time to fix, by severity",
        "A finding counts once its fix is some days old; what runs may stay as long.",
        """\
max_findings:
  CRITICAL: 0
  HIGH: 0
  only_fixable: true
  grace_from: fix
  grace_days: {CRITICAL: 2, HIGH: 14}
exploited: {max: 0}
# A running image that this policy rejects is to be replaced within this time.
at_risk: {CRITICAL: 3d, HIGH: 14d}
""",
    ),
    PolicyExample(
        "no-worse",
        "No worse than what runs",
        "Old findings are reported, new ones block: to begin with images that have many.",
        """\
max_findings:
  - {CRITICAL: 0, HIGH: 0, baseline: running}
  - {CRITICAL: 0, HIGH: 0, action: warn}
exploited: {max: 0}
""",
    ),
    PolicyExample(
        "likely",
        "What is likely to be exploited",
        "By KEV and EPSS instead of severity alone, with a wide limit for the rest.",
        """\
exploited: {max: 0}
epss: {score: 0.1, max: 0, only_fixable: true}
max_findings: {CRITICAL: 0, only_fixable: true}
# Scores that are older say little.
database_age: {hours: 48}
""",
    ),
    PolicyExample(
        "base-and-own",
        "Base image and own layers apart",
        "The base image has a limit of its own, must be a known one, supported and rebuilt now and then.",
        """\
max_findings:
  - {CRITICAL: 0, HIGH: 0, scope: own}
  - {CRITICAL: 0, HIGH: 5, scope: base, only_fixable: true}
exploited: {max: 0}
base_image: {allowed: ["debian:13*", "docker.io/library/debian:13*"]}
end_of_life: {within_days: 30}
image_age: {days: 90, action: warn}
runs_as_root: {action: warn}
""",
    ),
    PolicyExample(
        "report",
        "Report only",
        "Nothing blocks but malicious packages and what cannot be judged: to see what a limit would do.",
        """\
max_findings: {CRITICAL: 0, HIGH: 0, action: warn}
exploited: {max: 0, action: warn}
""",
    ),
)
