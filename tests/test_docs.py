"""What can be named is documented: commands, options, settings, API calls, rules, reports; and what is documented is
true."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import docs
from tests.delivery.definitions.definition_files import read_definition

from dockgate.aws.functions.settings import VARIABLES
from dockgate.config import FEED_PREFIX
from dockgate.delivery.definitions import approval_request
from dockgate.events.targets.apprise import SCHEMES
from dockgate.gate import rules
from dockgate.gate.definitions import policy
from dockgate.gate.definitions.examples import Example, ExpectedVerdict, Finding, Image, VexEntry
from dockgate.services.policies import policy_examples

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))


def _iterate_examples(kind: str, page: str = "reference/documents.md") -> Iterator[str]:
    """The YAML blocks of a page whose fence says `kind`."""
    yield from re.findall(rf"(?ms)^```{kind}\n(.*?)^```$", (ROOT / "docs" / page).read_text())


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_generated_page_agrees_with_the_code(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == docs.render_page(name), "`make docs` writes it again"


def test_the_page_of_settings_lists_the_variables_that_the_code_names() -> None:
    used_variables = {
        name
        for file in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"\bDOCKGATE_[A-Z_]*[A-Z]\b", file.read_text())
    }
    page = (ROOT / "docs" / "reference" / "settings.md").read_text().partition(docs.MARK)[0]
    documented_variables = set(re.findall(r"(?m)^\| `(\w+)` \|", page))
    assert used_variables - documented_variables - set(VARIABLES) - {FEED_PREFIX.rstrip("_")} == set()
    assert {name for name in documented_variables - used_variables if not name.startswith(FEED_PREFIX)} == set()


def test_every_example_of_a_document_is_one() -> None:
    examples = [read_definition(text, "reference/documents.md") for text in _iterate_examples("yaml")]
    assert len(examples) == 9


def test_the_policy_shown_as_the_default_is_the_default() -> None:
    all_rules = rules.load()
    default_policy, *further_policies = _iterate_examples("yaml policy", "reference/policies.md")
    assert policy.read_named_policy(default_policy, "default", all_rules) == policy.read_builtin_policy(
        "default", all_rules
    )
    assert [policy.read_named_policy(text, "ours", all_rules).name for text in further_policies] == ["ours"] * len(
        further_policies
    )


def test_what_a_repository_may_ask_is_shown_as_it_may() -> None:
    (example,) = _iterate_examples("yaml asked", "how-to/manage-policies.md")
    wish = approval_request.read_requested_policy(example.encode(), ".dockgate.yaml", rules.load())
    assert wish is not None
    assert wish.rules.keys() == {"max_findings"}
    for text in _iterate_examples("yaml", "how-to/manage-policies.md"):
        read_definition(text, "how-to/manage-policies.md")


def test_the_examples_of_a_policy_that_are_shown_hold() -> None:
    (example,) = _iterate_examples("yaml examples", "how-to/manage-policies.md")
    outcomes = policy_examples.test(example, "how-to/manage-policies.md").outcomes
    assert [(outcome.name, outcome.problems) for outcome in outcomes if outcome.problems] == []
    page = (ROOT / "docs" / "how-to" / "manage-policies.md").read_text()
    for model in (Example, ExpectedVerdict, Finding, Image, VexEntry):
        assert [key for key in model.model_fields if f"`{key}`" not in page] == [], model


# Functions that a Kyverno policy may call: those of JMESPath that Kyverno adds for times. Source:
# `pkg/engine/jmespath/time.go` of github.com/kyverno/kyverno.
KYVERNO_FUNCTIONS = frozenset(
    f"time_{name}"
    for name in (
        *("add", "after", "before", "between", "diff", "now", "now_utc", "parse", "since", "to_cron", "truncate"),
        "utc",
    )
)


def test_the_kyverno_policy_that_is_shown_calls_functions_of_kyverno() -> None:
    policies = [text for text in _iterate_examples("yaml", "how-to/attestations.md") if "kyverno.io" in text]
    calls = [re.findall(r"(\w+)\(", expression) for text in policies for expression in re.findall(r"{{(.+?)}}", text)]
    called_names = {name for names in calls for name in names}
    assert called_names
    assert called_names - KYVERNO_FUNCTIONS == set()


def test_every_rule_has_a_row() -> None:
    page = (ROOT / "docs" / "reference" / "policies.md").read_text()
    assert [rule.name for rule in rules.load() if f"| `{rule.name}` |" not in page] == []


def test_every_part_of_the_source_has_a_place_in_the_layout() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    parts = [path.name for path in (ROOT / "src" / "dockgate").iterdir() if path.is_dir() and path.name[0] != "_"]
    assert [name for name in parts if f"`{name}/`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in link]
    broken_links = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in _list_anchors(target.read_text())):
            broken_links.append(link)
    assert broken_links == []


def _list_anchors(text: str) -> set[str]:
    return {docs.make_anchor(heading) for heading in re.findall(r"(?m)^#+ (.+)$", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_that_a_page_shows_exists(page: Path) -> None:
    """Whatever follows `dockgate` at the start of a shown line or of a code span."""
    names = set(re.findall(r"(?m)^## dockgate (.+)$", "".join(docs.render_commands())))
    groups = {name.partition(" ")[0] for name in names if " " in name}
    commands = re.findall(r"(?m)(?:`|^    )dockgate ([a-z]+)(?: ([a-z]+))?", page.read_text())
    unknown = [
        (first, second)
        for first, second in commands
        if (f"{first} {second}" not in names if first in groups and second else first not in names | groups)
    ]
    assert unknown == []


def test_no_page_installs_our_name_from_a_public_index_or_outside_an_environment() -> None:
    """No public index has our package: a stranger could register the name, and readers would run that code.
    Debian's Python refuses `pip install` outside of an environment."""
    files = [*PAGES, *(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.yaml"), *(ROOT / "scripts").iterdir()]
    texts = {file: file.read_text() for file in files if file.is_file()}
    install_command = re.compile(
        r"""(?:pip3?|pipx|uv(?: tool)?|uvx) (?:install|run|add)? ?(?:-\S+ )*['"]?dockgate(?![\w./-])"""
    )
    bare = re.compile(r"""(?m)^ {4}(?:sudo )?pip3? install (?!.*\$DOCKGATE_WHEEL)""")
    assert {str(file): matches for file, text in texts.items() if (matches := install_command.findall(text))} == {}
    outside = {str(file) for file, text in texts.items() if bare.search(text) and "venv .venv && ." not in text}
    assert outside == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    """Modules are named below `src/dockgate`; the guide to extending adds one that does not exist."""
    named_files = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", page.read_text()))
    missing_files = {
        name for name in named_files if not any((ROOT / at / name).exists() for at in ("src/dockgate", "."))
    }
    assert {name for name in missing_files if "luarocks" not in name} == set()


def test_the_examples_of_notifications_are_documents() -> None:
    for kind in ("yaml target", "yaml rule"):
        (text,) = _iterate_examples(kind, "how-to/notifications.md")
        assert read_definition(text, "how-to/notifications.md")


def test_every_scheme_of_apprise_is_documented() -> None:
    page = (ROOT / "docs" / "how-to" / "notifications.md").read_text()
    assert {scheme for scheme in SCHEMES if f"`{scheme}`" not in page} == set()
