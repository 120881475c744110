"""Sentences about malformed parameters and bodies, instead of those of pydantic. Pure."""

from collections.abc import Mapping
from typing import Any

from dockgate.delivery.model import REPOSITORY
from dockgate.shared.digest import PATTERN

# By the type of pydantic's error: what is wrong with the value, and the next step. Both may name parts of its context.
_SENTENCES = {
    "missing": ("is missing", "Add it."),
    "unexpected_keyword_argument": ("is not known", "Remove it."),
    "unknown_parameter": ("is not a parameter here", "{advice}"),
    "unknown_value": ("is {input}, which is not one of its values", "Leave it out."),
    "enum": ("is {input}, which is not one of its values", "Use {expected}."),
    "literal_error": ("is {input}, which is not one of its values", "Use {expected}."),
    "int_parsing": ("is {input}, which is not a whole number", "Use digits only."),
    "int_type": ("is not a whole number", "Use a whole number."),
    "float_parsing": ("is {input}, which is not a number", "Use a number, such as 0.5."),
    "float_type": ("is not a number", "Use a number, such as 0.5."),
    "finite_number": ("is {input}, which is not a number", "Use a number, such as 0.5."),
    "bool_parsing": ("is {input}, which is neither true nor false", "Use true or false."),
    "bool_type": ("is neither true nor false", "Use true or false."),
    "string_type": ("is not a text", "Use a text."),
    "string_too_short": ("is too short", "Use at least {min_length} characters."),
    "string_too_long": ("is too long", "Use at most {max_length} characters."),
    "string_pattern_mismatch": ("is {input}, which is malformed", "{form}"),
    "too_long": ("has too many entries", "Use at most {max_length}."),
    "greater_than_equal": ("is {input}, which is too small", "Use {ge} or more."),
    "greater_than": ("is {input}, which is too small", "Use more than {gt}."),
    "less_than_equal": ("is {input}, which is too large", "Use {le} or less."),
    "less_than": ("is {input}, which is too large", "Use less than {lt}."),
    "list_type": ("is not a list", "Use a list."),
    "dict_type": ("is not an object", "Use an object."),
    "dataclass_type": ("is not an object", "Use an object."),
    "model_attributes_type": ("is not an object", "Use an object."),
    "json_invalid": ("is not JSON", "Check the body: {error}."),
}
# Hexadecimal digits with which a digest begins.
DIGITS_PATTERN = "^[0-9a-f]{6,64}$"
_DEFAULT_SENTENCE = ("is malformed", "Correct it.")
# Forms of texts in words, by the patterns of the parameters.
_DIGEST_FORM = "A digest is sha256: and 64 hexadecimal digits."
_FORMS = {
    f"^{PATTERN}$": _DIGEST_FORM,
    f"^({PATTERN})?$": _DIGEST_FORM,
    DIGITS_PATTERN: "Use 6 to 64 hexadecimal digits: 0 to 9 and a to f.",
    f"^{REPOSITORY}$": "The name of a repository is written like team/app, in lower case.",
}
# Characters of a value that a sentence shows.
MAX_VALUE = 60


def describe_problem(problem: Mapping[str, Any]) -> tuple[str, str]:
    """Describe what is wrong with a parameter or a field, by pydantic's description, and the next step.

    The field is named by its path, such as "roles.0"; the whole body is "the body".
    """
    source, *parts = problem["loc"]
    path = [str(part) for part in parts if problem["type"] != "json_invalid"]
    if source == "query":  # of several values of a parameter, the number of the wrong one says nothing
        path = path[:1]
    wrong, advice = _SENTENCES.get(problem["type"], _DEFAULT_SENTENCE)
    shown_input = repr(problem.get("input"))
    context = {name: str(value).replace("'', ", "") for name, value in problem.get("ctx", {}).items()}
    form = _FORMS.get(context.get("pattern", ""), _DEFAULT_SENTENCE[1])
    values = {**context, "form": form, "input": shown_input[:MAX_VALUE] + "…" * (len(shown_input) > MAX_VALUE)}
    return f"{'.'.join(path) or 'the body'} {wrong.format_map(values)}", advice.format_map(values)
