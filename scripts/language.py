"""Refuse names and phrases that a reader would have to guess: `scripts/lint` runs it.

    python -m scripts.language [FOLDER...]

Identifiers are nouns, verbs with an object, or questions (is_, has_, can_, should_); booleans are questions. Bare
participles and pronouns do not say what they contain. Text for people uses the words of the field;
docs/reference/glossary.md has the few that are ours. The first line of a public docstring says in FIRST_LINE characters
what the reader gets, by a noun or in the imperative, and no docstring gives "" the meaning of an absent value. Modules,
and functions of the product, are short enough to be read at once.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from jinja2 import Environment, meta
from scripts.language_words import (
    ALLOWED,
    BOOLEANS,
    CAPITALIZED,
    CONVERSIONS,
    EMPTY_TEXT,
    ERROR_MAKER,
    EVALUATION,
    EVALUATORS,
    FIRST_LINE,
    FRAMEWORK,
    FUNCTION_LINES,
    IMAGE_NAME,
    IS_NONE,
    KEYS,
    MODULE_LINES,
    NAMES,
    NOUN,
    NOUNS,
    OUTSIDE,
    OWNER,
    PARAMETERS,
    PARTICIPLE,
    PHRASES,
    PLURALS,
    PREPOSITIONS,
    PRESCRIBED,
    PRODUCT,
    PRODUCT_PHRASES,
    PRODUCT_VAGUE,
    PRONOUNS,
    QUESTIONS,
    REFERENCES,
    TEST_NAMES,
    TEST_VERBS,
    TEXT_CUT,
    VAGUE,
    VALUES,
    VERBS,
    WORDS,
)

ROOT = Path(__file__).parent.parent
ROOTS = ("src", "tests", "bench", "scripts", "docs", "README.md", "CHANGELOG.md", "pyproject.toml")
UNDERSCORE = re.compile(r"(?<=\w)_(?=\w)")
# The files that are read: code, documentation, pages, templates, scripts and settings.
KINDS = (".py", ".md", ".yaml", ".html", ".js", ".sh", ".toml", ".j2")
# Scripts of others, beside ours.
FOREIGN = ".min.js"
# What defines names. In a template: `{% set NAME`, `{% for NAMES in`, `{% macro f(NAMES)`. In a script of the console:
# `const NAMES =`, `function NAME(NAMES)`, `(NAMES) =>`, `NAME =>`. A macro is named for what it shows.
DEFINITIONS = {
    ".html": re.compile(r"\{%-?\s*(?:set\s+([\w, ]+)|for\s+([\w, ]+?)\s+in\b|macro\s+\w+\(([^)]*)\))"),
    ".js": re.compile(
        r"\b(?:const|let|var)\s+([\w$]+|\[[^=\n]*?\]|\{[^=\n]*?\})\s*(?:=|;| of\b| in\b)"
        r"|\bfunction\s+(\w+\([^)]*)\)|\(([^()]*)\)\s*=>|\b(\w+)\s*=>"
    ),
}
DEFAULT = re.compile(r"=[^,]*")
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Folders of test data: files of others, and recorded cases.
DATA = ("data", "cases")


def find_problems(path: Path) -> Iterator[str]:
    """Each refused name or phrase of a file, with its location: "src/a.py:3: ..."."""
    text = path.read_text("utf-8")
    location = path.relative_to(ROOT).as_posix()
    allowed = ALLOWED.get(location, frozenset())
    if path.suffix == ".py":
        tree = ast.parse(text)
        fields, is_product = set(_iterate_fields(tree)), location.startswith("src")
        plain = (
            (fields & KEYS if is_product else fields)
            | allowed
            | (TEST_NAMES if location.startswith("tests") else frozenset())
        )
        for number, name in _iterate_identifiers(tree):
            lower = name.strip("_").lower()
            is_unclear = is_product and (lower in PRODUCT_VAGUE or lower.startswith(OWNER))
            is_vague = name not in plain and (is_unclear or _is_vague(name))
            if is_vague or lower in NAMES - allowed or not WORDS.isdisjoint(set(lower.split("_")) - allowed):
                yield f"{location}:{number}: the name {name!r} does not say what it contains"
        if path.stem.strip("_") in NAMES:
            yield f"{location}: the file name does not say what it contains"
        for number, name in _iterate_constants(tree) if is_product else ():
            lower = name.strip("_").lower()
            if name not in allowed and (_is_vague(lower) or lower.partition("_")[0] in PREPOSITIONS):
                yield f"{location}:{number}: the constant {name!r} does not say what it contains"
        for number, name in _find_functions_without_verb(tree, is_product=is_product):
            yield f"{location}:{number}: {name} is no verb of scripts/verbs.txt with an object: rename it"
        if (lines := text.count("\n")) > MODULE_LINES:
            yield f"{location}: the module has {lines} lines, more than {MODULE_LINES}: split it"
        if is_product:
            yield from _find_product_problems(location, text, tree)
    if path.suffix == ".html" and location.startswith("src"):
        for number, line in enumerate(text.splitlines(), 1):
            for cut in TEXT_CUT.findall(line):
                yield f"{location}:{number}: {cut!r} takes a text apart: pass the parts, or a type that has them"
    for number, name in _iterate_page_identifiers(path.suffix, text):
        is_vague = _is_vague(name) or name.lower() in NAMES | PRODUCT_VAGUE
        if name not in allowed and (is_vague or not WORDS.isdisjoint(CAMEL_CASE.sub("_", name).lower().split("_"))):
            yield f"{location}:{number}: the name {name!r} does not say what it contains"
    for number, line in enumerate(text.splitlines(), 1):
        words = UNDERSCORE.sub(" ", line)
        phrases = PHRASES.findall(words)
        if location.startswith(PRODUCT):
            phrases += PRODUCT_PHRASES.findall(words)
            phrases += [] if path.suffix == ".html" else IS_NONE.findall(words)
            phrases += [] if location.startswith(EVALUATORS) else EVALUATION.findall(words)
        for phrase in phrases:
            if phrase.lower() not in allowed:
                yield f"{location}:{number}: {phrase!r}: say it in the field's words (docs/reference/glossary.md)"


def _find_product_problems(location: str, text: str, tree: ast.Module) -> Iterator[str]:
    """The problems that count in the product alone."""
    for number, name in _find_unclear_booleans(tree):
        yield f"{location}:{number}: the boolean {name!r} does not begin with is, has, can or should"
    for number, first in _iterate_summaries(tree):
        if len(first) > FIRST_LINE:
            yield f"{location}:{number}: the first line of the docstring has more than {FIRST_LINE} characters"
    for number, word in _find_unclear_beginnings(tree):
        yield f"{location}:{number}: the docstring begins with {word!r}: use a noun or the imperative"
    yield from _find_long_functions(location, tree)
    for number, first, last in _iterate_messages(tree):
        if CAPITALIZED.match(first):
            yield f"{location}:{number}: the message begins with {first[:20]!r}: begin in lower case"
        if last.endswith(".") and not last.endswith(".."):
            yield f"{location}:{number}: the message ends with {last[-20:]!r}: omit the full stop"
    for number, line in _iterate_explanations(text, tree):
        if EMPTY_TEXT.search(line):
            yield f"{location}:{number}: an absent value is called empty: make it None; a collection has none"
    if location not in REFERENCES:
        for number, line in enumerate(text.splitlines(), 1):
            if IMAGE_NAME.search(line):
                yield f"{location}:{number}: an image's name is assembled: use a type of shared/references.py"


def _is_vague(name: str) -> bool:
    if name.startswith("__"):
        return False
    name = name.strip("_")
    is_participle = PARTICIPLE.fullmatch(name) is not None and name not in NOUNS
    return (is_participle or name in VAGUE) and name not in OUTSIDE


def _iterate_fields(tree: ast.AST) -> Iterator[str]:
    """The names of the fields of the module's classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                    yield each.target.id


def _iterate_constants(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The names that the module assigns outside of functions and classes."""
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for node in (node for target in targets if isinstance(target, ast.expr) for node in ast.walk(target)):
            if isinstance(node, ast.Name):
                yield node.lineno, node.id


def _find_functions_without_verb(tree: ast.AST, *, is_product: bool) -> Iterator[tuple[int, str]]:
    """The functions whose names do not begin with a verb."""
    words = VERBS | QUESTIONS | CONVERSIONS | (frozenset() if is_product else TEST_VERBS)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__"):
            first = node.name.strip("_").partition("_")[0]
            is_value = any(VALUES.search(ast.unparse(decorator)) for decorator in node.decorator_list)
            is_called_by_framework = not is_product and FRAMEWORK.fullmatch(node.name) is not None
            is_prescribed = node.name in PRESCRIBED or is_called_by_framework
            is_noun = is_product and NOUN.fullmatch(node.name) is not None and first not in QUESTIONS
            if not is_value and not is_prescribed and (first not in words or is_noun):
                yield node.lineno, node.name


def _find_unclear_booleans(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The boolean fields and arguments whose names are no questions."""
    for node in ast.walk(tree):
        names: list[tuple[int, ast.expr | None, str]] = []
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if not any(PARAMETERS.search(ast.unparse(decorator)) for decorator in node.decorator_list):
                    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                    names = [(argument.lineno, argument.annotation, argument.arg) for argument in arguments]
            case ast.AnnAssign(target=ast.Name(id=str(name)) | ast.Attribute(attr=str(name))):
                names = [(node.lineno, node.annotation, name)]
        for number, annotation, name in names:
            is_boolean = annotation is not None and ast.unparse(annotation) in ("bool", "bool | None")
            if is_boolean and name.strip("_").partition("_")[0] not in QUESTIONS and name not in BOOLEANS:
                yield number, name


def _iterate_summaries(node: ast.Module | ast.ClassDef) -> Iterator[tuple[int, str]]:
    """The first lines of the docstrings of the module, and of its public classes, functions and methods."""
    for each in (node, *node.body):
        if isinstance(each, ast.ClassDef) and each is not node and not each.name.startswith("_"):
            yield from _iterate_summaries(each)
        elif isinstance(each, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = "" if isinstance(each, ast.Module) else each.name
            if (text := ast.get_docstring(each)) and not name.startswith("_"):
                yield each.body[0].lineno, text.partition("\n")[0]


def _find_unclear_beginnings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The docstrings that begin with a verb in the third person or a pronoun, with this word."""
    refused = ({_inflect(verb) for verb in VERBS | TEST_VERBS} - PLURALS) | PRONOUNS
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = re.match(r"[A-Za-z]+", ast.get_docstring(node) or "")
            if first is not None and first[0].lower() in refused:
                yield node.body[0].lineno, first[0]


def _inflect(verb: str) -> str:
    """The third person of a verb."""
    if verb.endswith(("ch", "s", "sh", "x", "z")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search("[^aeiou]y$", verb) else f"{verb}s"


def _iterate_explanations(text: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The lines of the module's docstrings, each with the first word of the next, and its comments."""
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                docstring = ast.get_docstring(node, clean=False) or ""
                lines = docstring.splitlines()
                next_words = [*(line.split()[:1] for line in lines[1:]), []]
                joined_lines = (" ".join((line, *words)) for line, words in zip(lines, next_words, strict=False))
                yield from enumerate(joined_lines, node.body[0].lineno if node.body else 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _iterate_messages(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """The literal texts with which the message of an error begins and ends, empty for a value."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=str(name)) | ast.Attribute(attr=str(name)), args=[_, *_]):
                if ERROR_MAKER.fullmatch(name):
                    # A function that makes errors may take the location before the message.
                    arguments = node.args[: 1 if name.endswith("Error") else 2]
                    texts = (argument for argument in arguments if isinstance(argument, ast.Constant | ast.JoinedStr))
                    yield from ((node.lineno, *_get_ends(text)) for text in islice(texts, 1))


def _get_ends(node: ast.expr) -> tuple[str, str]:
    match node:
        case ast.Constant(value=str(text)):
            return text, text
        case ast.JoinedStr(values=[first, *_]):
            return _get_ends(first)[0], _get_ends(node.values[-1])[1]
    return "", ""


def _find_long_functions(location: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{location}:{node.lineno}: {node.name} has {length} lines, more than {FUNCTION_LINES}: split it"


def _iterate_identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that the module defines: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store(), value=ast.Name(id="self" | "cls")):
                yield node.lineno, node.attr  # of other objects it is named where their class is
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def _iterate_page_identifiers(suffix: str, text: str) -> Iterator[tuple[int, str]]:
    """The names that a template or a script of the console defines, and those that a template gets from its page."""
    if suffix == ".html":
        for name in meta.find_undeclared_variables(Environment(autoescape=True).parse(text)):
            yield text.count("\n", 0, re.search(rf"\b{name}\b", text).start()) + 1, name  # type: ignore[union-attr]
    if suffix in DEFINITIONS:
        for match in DEFINITIONS[suffix].finditer(text):
            names = DEFAULT.sub("", next(filter(None, match.groups()), ""))
            for name in re.findall(r"[A-Za-z_]\w*", names):
                yield text.count("\n", 0, match.start()) + 1, name


def iterate_files(roots: list[str]) -> Iterator[Path]:
    """The files of these folders whose text is the project's own (`KINDS`), without test data."""
    for root in roots:
        path = (ROOT / root).resolve()
        if path.is_file():
            yield path
        yield from sorted(
            file
            for file in path.rglob("*")
            if file.suffix in KINDS
            and not file.name.endswith(FOREIGN)
            and not set(DATA) & set(file.relative_to(ROOT).parts)
            and file.parent / file.name.replace("_words", "") != Path(__file__)
        )


def main() -> int:
    """Print what is refused; exit 1 if there is any."""
    refused = [line for path in iterate_files(sys.argv[1:] or list(ROOTS)) for line in find_problems(path)]
    sys.stdout.write("".join(f"{line}\n" for line in refused))
    return bool(refused)


if __name__ == "__main__":
    sys.exit(main())
