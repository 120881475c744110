"""What scripts/language.py refuses and accepts: names, words, phrases and lengths, with the exceptions by file."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent
# No identifier is one of these, with or without underscores around it.
NAMES = frozenset(
    (
        *("another", "anybody", "asked", "found", "given", "held", "kept", "known", "left", "nobody", "one", "other"),
        *("said", "somebody", "told", "wanted", "whatever", "whole"),
    )
)
# In the product no function, argument, variable, field or constant is a participle alone, nor a name of the file: they
# do not say what they contain. Members of an enumeration are: they name states.
PARTICIPLE = re.compile(r"[a-z]{3,}ed")
VAGUE = frozenset((FOLDER / "vague_names.txt").read_text("utf-8").split())
# The fields that are called so all the same, because they are keys of JSON and YAML or columns of tables, or lists of
# what has a key of this name.
KEYS = frozenset(
    (
        *("added", "allowed", "approved", "blocked", "changed", "checked", "closed", "created", "deleted"),
        *("enabled", "encoded", "ended", "exploited", "judged", "latest", "moved", "newest", "opened", "others"),
        *("places", "refused", "rejected", "related", "removed", "unaffected", "undetermined", "unfixed", "unread"),
        *("unserved", "waived", "who", "why"),
    )
)
# Nor does a constant begin with one of these.
PREPOSITIONS = frozenset(("at", "by", "for", "from", "in", "of", "our", "to", "with", "without"))
# In the product and its pages, nor is one of these.
PRODUCT_VAGUE = frozenset(("who",))
# Nor does a name of the product begin so: of what it is says nothing about what it is.
OWNER = "of_"
# Words that end like a participle, and what formats and parties outside call their fields.
NOUNS = frozenset(("feed", "need", "seed", "speed", "embed"))
OUTSIDE = frozenset(("affected", "fixed", "modified", "published", "withdrawn"))
# Nor is one of these a word of an identifier in snake_case.
WORDS = frozenset(
    (
        *("anybody", "anybodys", "held", "kin", "mend", "mended", "mends", "nobody", "nobodys", "said", "somebody"),
        *("somebodys", "suffer", "suffered", "suffers", "told", "whoever", "whosoever"),
    )
)
# No docstring, comment, message, page or identifier, its underscores read as spaces, has one of these: the field says
# reported, stored, stated, notified, distinguished, repeated. A test says what is promised, not the promise's number.
PHRASES = re.compile(
    r"\b(?:whoever|whosoever|nobody|somebody|anybody|by leave|suffers?|suffered|mends?|mended|kin|is none of"
    r"|are none of|told|said|held|tells? of|speaks? of|spoken of|hears? of|heard of|its word|at its word|who asks"
    r"|lets nothing through|stands? for|stands (?:in it|there|under|beside)|breach(?:es)?|judgements?|remed(?:y|ies)"
    r"|insisting|anew|in vain|promise [0-9]+)\b",
    re.IGNORECASE,
)
# Nor, in the product and its pages, has one of these: the field says notified, undetermined, at this time, is,
# external, or None.
PRODUCT_PHRASES = re.compile(
    r"\b(?:doubts?|hears?|heard|as of when|comes with|stands|outside pipelines?|foreign pipelines?"
    r"|(?-i:(?:[Nn]one|[Nn]ull) for none))\b",
    re.IGNORECASE,
)
# Nor has one of its docstrings, comments and messages this, which is hard to read: without one, does not exist. (In a
# template it is an operator.)
IS_NONE = re.compile(r"\bis none\b")
# A policy judges an image, in commands, pages and code. Inside the gate each platform is evaluated for that, as are
# expressions and OSV's ranges; other code names only the module.
EVALUATION = re.compile(r"(?<!import )(?<!\.)\bevaluat(?:e|es|ed|ing|ions?)\b(?!\.)", re.IGNORECASE)
EVALUATORS = ("src/dockgate/gate/", "src/dockgate/vulnerabilities/")
PRODUCT = ("src", "docs", "README.md", "CHANGELOG.md")
# Nor does a docstring or comment of the product give the empty text a meaning of absence, as in: "" if unknown, empty
# without one, (empty). An absent value is None, typed; a collection without entries has none, or nothing.
EMPTY_TEXT = re.compile(
    r"""(?<![\w"\\])""(?= (?:for|if|when|without|where|unless|means)\b|[):,.])|\b(?:is|are|or|else) ""(?!")"""
    r"""|\(empty\b|\bempty (?:for|if|when|without|where|unless)\b|\b(?:(?<!absent )or|else) empty\b(?! [a-z])"""
    r"""|\bempty text (?:for|if|when|without|where|unless|means)\b""",
    re.IGNORECASE,
)
# No template takes a text apart: what it has parts of has a type, or a function of the page's. It may shorten a list.
TEXT_CUT = re.compile(r"\.(?:r?partition|r?split|remove(?:prefix|suffix))\(|\[[0-9]+:")
# The product assembles the name of an image or a repository by its type only (shared/references.py).
IMAGE_NAME = re.compile(r"(?:repository|reference)\}@\{|(?<!/)\{[\w.]*registry\}/\{")
REFERENCES = (
    "src/dockgate/scanner/images/cosign_attestations.py",
    "src/dockgate/scanner/registry_reference.py",
    "src/dockgate/shared/references.py",
)
# What the name of a function of the product begins with: a verb of this file, or one of these.
VERBS = frozenset((FOLDER / "verbs.txt").read_text("utf-8").split())
# In tests, bench and scripts a function may also begin with one of these.
TEST_VERBS = frozenset(
    (
        *("act", "alter", "approve", "assert", "attempt", "batch", "block", "break", "catch", "certify"),
        *("contradict", "cover", "crash", "cut", "declare", "die", "drip", "edit", "enlarge", "exceed", "execute"),
        *("fuzz", "generate", "hang", "harm", "heal", "ignore", "ingest", "inspect", "invoke", "leave", "let"),
        *("lose", "map", "mask", "mix", "mutate", "nest", "notify", "obey", "paginate", "patch", "pick", "place"),
        *("press", "race", "raise", "reach", "redeploy", "retag", "revive", "rewind", "see", "share", "shrink"),
        *("shuffle", "signal", "spell", "spoil", "state", "substitute", "swap", "trace", "use", "waive"),
    )
)
# What a test compares with: `assert result == expected` is plain to everybody.
TEST_NAMES = frozenset(("expected",))
# A docstring of the product begins with a noun, or a verb in the imperative: "Return the ...", not "Returns the ...".
# Nor with a pronoun, as in "Those of the images that ...": it refers to nothing.
PRONOUNS = frozenset(("both", "it", "its", "that", "their", "they", "those", "whether"))
# These nouns look like verbs in the third person.
PLURALS = frozenset(
    (
        *("answers", "builds", "calls", "changes", "checks", "copies", "deploys", "digests", "feeds"),
        *("filters", "formats", "hosts", "limits", "links", "lists", "locks", "logs", "matches", "names", "notes"),
        *("numbers", "pauses", "previews", "probes", "pushes", "queries", "reports", "requests"),
        *("scans", "signals", "updates", "upgrades", "writes"),
    )
)
QUESTIONS = frozenset(("is", "has", "can", "should"))
# A noun, even if it is a verb as well, as in lock_of().
NOUN = re.compile("_*[a-z]+_of")
CONVERSIONS = frozenset(("as", "from", "to", "with", "without"))
# The booleans whose names are no questions, each with the reason. Parameters of commands and of calls of the API are no
# questions either (`PARAMETERS`): people write `?running=true` and `--wait`.
BOOLEANS = frozenset(
    (
        # Keys that people write in YAML, as in Kubernetes (`enabled: true`); the API has them under the same names.
        "enabled",  # of an event rule or target
        "exclude_committer",  # of the approvers of a pipeline's action
        "external",  # of an example of a policy
        "until_fixed",  # of a waiver
        # FastAPI's and SQLAlchemy's.
        *("include_in_schema", "primary_key", "unique"),
    )
)
PARAMETERS = re.compile(r"\.command|click\.|router\.|wraps\(")
# Names of functions that libraries prescribe, or that everybody knows.
PRESCRIBED = frozenset(
    (
        *("application", "connection_lost", "connection_made", "data_received", "formatException", "formatMessage"),
        *("main", "next_event", "now", "on_broken_pipe", "on_response_complete", "openapi", "readable", "readinto"),
        *("seekable", "shell_complete", "startup"),
    )
)
# Functions that http.server, pytest, Hypothesis and io call by their names.
FRAMEWORK = re.compile(r"do_[A-Z]+|(?:pytest|test)_\w+|teardown|isatty")
# Decorators of functions that are used as values or as commands; pytest calls fixtures as arguments.
VALUES = re.compile(r"property|\.setter|\.command|\.group|click\.|wraps|fixture")
# The longest first line of the docstring of a module, or of a public class or function.
FIRST_LINE = 100
# The most lines of a module, and of a function of the product.
MODULE_LINES, FUNCTION_LINES = 400, 70
# A message of an error begins in lower case and has no full stop at its end (src/dockgate/shared/errors.py). A name has
# a capital, a digit or a sign after its first letter, or is here.
CAPITALIZED = re.compile(r"(?!(?:Dockgate|Git|Trivy|No such command)\b)[A-Z][a-z]*(?=[ .,:'])")
ERROR_MAKER = re.compile(r"\w*Error|_?make_(?:\w+_)?(?:error|refusal)")
# By file: what it may say all the same.
ALLOWED: dict[str, frozenset[str]] = {
    "docs/reference/glossary.md": frozenset({"evaluate", "evaluates", "evaluations"}),  # defined there
    "src/dockgate/delivery/builders/sandbox/sandbox.py": frozenset({"nobody"}),  # a user of passwd(5)
    "src/dockgate/attestations/dsse.py": frozenset({"IN_TOTO"}),  # a project
    "src/dockgate/server/connections.py": frozenset({"disconnected"}),  # uvicorn's
    # Parameters of queries, and an open file.
    "src/dockgate/web/api/images.py": frozenset({"exploited"}),
    "src/dockgate/web/api/pipelines.py": frozenset({"fresh"}),
    "src/dockgate/web/console/pages/events.py": frozenset({"again", "enabled", "tested"}),
    "src/dockgate/web/console/pages/images.py": frozenset({"out"}),
    "src/dockgate/web/console/pages/repositories.py": frozenset({"committed"}),
    "src/dockgate/web/console/pages/signing_in.py": frozenset({"to"}),
    "src/dockgate/web/console/pages/verdicts.py": frozenset({"out"}),
}
