"""No distributions without security updates."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput
from dockgate.gate.rules._settings import read_choice, read_whole_number, require_known_keys
from dockgate.scanner.model import Distribution
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import parse_time, shift_time, to_datetime
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities.model import UndeterminedFact

_UNKNOWN = ("undetermined", "allow")

# The last day with security updates for all users, without a contract: os-release ID, then RELEASE=DATE. A release is
# the leading parts of a VERSION_ID. As of 2026-08-22. Sources: the package distro-info-data 0.66 for Debian (LTS, which
# is in the ordinary archive) and Ubuntu (standard support); endoflife.date, which links each vendor's page, for all
# others. For Red Hat, Oracle and SUSE: the end of what every subscription includes.
_DATES = """
almalinux 8=2029-05-31 9=2032-05-31 10=2035-05-31
alpine 3.0=2016-05-01 3.1=2016-11-01 3.2=2017-05-01 3.3=2017-11-01 3.4=2018-05-01 3.5=2018-11-01 3.6=2019-05-01
    3.7=2019-11-01 3.8=2020-05-01 3.9=2020-11-01 3.10=2021-05-01 3.11=2021-11-01 3.12=2022-05-01 3.13=2022-11-01
    3.14=2023-05-01 3.15=2023-11-01 3.16=2024-05-23 3.17=2024-11-22 3.18=2025-05-09 3.19=2025-11-01 3.20=2026-04-01
    3.21=2026-11-01 3.22=2027-05-01 3.23=2027-11-01 3.24=2028-06-01
amzn 2=2026-06-30 2010.11=2023-12-31 2011.09=2023-12-31 2012.03=2023-12-31 2012.09=2023-12-31 2013.03=2023-12-31
    2013.09=2023-12-31 2014.03=2023-12-31 2014.09=2023-12-31 2015.03=2023-12-31 2015.09=2023-12-31 2016.03=2023-12-31
    2016.09=2023-12-31 2017.03=2023-12-31 2017.09=2023-12-31 2018.03=2023-12-31 2023=2029-06-30
centos 6=2020-11-30 7=2024-06-30 8=2021-12-31 9=2027-05-31 10=2030-05-31
debian 6.0=2016-02-29 7=2018-05-31 8=2020-06-30 9=2022-06-30 10=2024-06-30 11=2026-08-31 12=2028-06-30 13=2030-06-30
fedora 28=2019-05-28 29=2019-11-26 30=2020-05-26 31=2020-11-24 32=2021-05-25 33=2021-11-30 34=2022-06-07 35=2022-12-13
    36=2023-05-16 37=2023-12-05 38=2024-05-21 39=2024-11-26 40=2025-05-13 41=2025-12-15 42=2026-05-27 43=2026-12-09
    44=2027-06-02
mageia 7=2021-06-30 8=2023-11-30 9=2026-09-29 10=2028-03-31
ol 6=2021-03-31 7=2024-12-31 8=2029-07-31 9=2032-06-30
opensuse-leap 15.0=2019-12-03 15.1=2021-02-02 15.2=2022-01-04 15.3=2022-12-31 15.4=2023-12-07 15.5=2024-12-31
    15.6=2026-04-30 16.0=2027-10-31 42.1=2017-05-17 42.2=2018-01-26 42.3=2019-07-01
rhel 6=2020-11-30 7=2024-06-30 8=2029-05-31 9=2032-05-31 10=2035-05-31
rocky 8=2029-05-31 9=2032-05-31 10=2035-05-31
sles 15.1=2021-01-31 15.2=2021-12-31 15.3=2022-12-31 15.4=2023-12-31 15.5=2024-12-31 15.6=2025-12-31 15.7=2031-07-31
    16.0=2027-11-30
ubuntu 12.04=2017-04-28 12.10=2014-05-16 13.04=2014-01-27 13.10=2014-07-17 14.04=2019-04-25 14.10=2015-07-23
    15.04=2016-02-04 15.10=2016-07-28 16.04=2021-04-30 16.10=2017-07-20 17.04=2018-01-13 17.10=2018-07-19
    18.04=2023-05-31 18.10=2019-07-18 19.04=2020-01-23 19.10=2020-07-17 20.04=2025-05-29 20.10=2021-07-22
    21.04=2022-01-20 21.10=2022-07-14 22.04=2027-06-01 22.10=2023-07-20 23.04=2024-01-25 23.10=2024-07-11
    24.04=2029-05-31 24.10=2025-07-10 25.04=2026-01-15 25.10=2026-07-09 26.04=2031-05-29 26.10=2027-07-15
"""


class EndOfLife(Rule):
    """Settings: `within_days` (0) before the end count, too; `unknown` is "undetermined" or "allow".

    The default is "undetermined". The end of life is the last day with support: the earlier of os-release's SUPPORT_END
    and the date in `_DATES`, so that an image cannot extend it.
    """

    name = "end_of_life"
    dependency = RuleDependency.IMAGE
    schema: Mapping[str, Any] = {
        "properties": {
            "within_days": {"type": "integer", "minimum": 0, "maximum": 3650},
            "unknown": {"enum": list(_UNKNOWN)},
        }
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("within_days", "unknown"))
        return {
            "within_days": read_whole_number("within_days", raw.get("within_days", 0), minimum=0, maximum=3650),
            "unknown": read_choice("unknown", raw.get("unknown", _UNKNOWN[0]), _UNKNOWN),
        }

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        days = int(str(settings["within_days"]))
        longer = f" for {format_count(days, 'more day')}" if days else ""
        unknown = "Undetermined" if settings["unknown"] == _UNKNOWN[0] else "allowed"
        return (
            f"The distribution's release is supported{longer}.",
            f"An image whose end of support is unknown is {unknown}.",
        )

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        distribution = rule_input.inventory.distribution
        reason = "The end of life is not known: the image names no distribution."
        if rule_input.is_external:
            reason = f"The end of life is not known: {rule_input.source} does not report the distribution."
        elif distribution:
            name = distribution.name or f"{distribution.id} {distribution.version}".strip()
            if last_day := _find_last_day(distribution):
                end, text = last_day
                past = to_datetime(rule_input.now) - end
                if past >= timedelta(days=1 - int(str(settings["within_days"]))):
                    verb = "reached" if past >= timedelta(days=1) else "reaches"
                    yield Violation(self.name, f"{name} {verb} its end of life on {text}")
                return
            reason = f"The end of life of {name} is not known."
        if settings["unknown"] == _UNKNOWN[0]:
            advice = "Build on a distribution whose end of life is known, or set `unknown: allow` in the policy."
            yield UndeterminedFact("/", reason, advice=advice)

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        distribution = rule_input.inventory.distribution
        if distribution and (last_day := _find_last_day(distribution)):
            end, _ = last_day
            # The message changes with the end itself, and a waiver may name it.
            yield from (shift_time(end, timedelta(days=1 - days)) for days in (0, int(str(settings["within_days"]))))


RULE: Rule = EndOfLife()


def _find_last_day(distribution: Distribution) -> tuple[datetime, str] | None:
    """The last day with support, also as text; None if unknown."""
    dates = distribution.support_end, _find_end_of_life(distribution.id, distribution.version)
    ends = [(end, text) for text in dates if text and (end := parse_time(text))]
    return min(ends, default=None)


def _find_end_of_life(distribution: str, version: str) -> str | None:
    """The last day with updates (YYYY-MM-DD) of an os-release ID and VERSION_ID, None if unknown."""
    releases = _parse_dates().get(distribution, {})
    parts = version.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((releases[name] for name in names if name in releases), None)


@cache
def _parse_dates() -> Mapping[str, Mapping[str, str]]:
    """The dates by os-release ID and release."""
    lines = (line.split() for line in _DATES.replace("\n    ", " ").strip().splitlines())
    return {name: dict(entry.split("=") for entry in entries) for name, *entries in lines}
