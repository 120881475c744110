"""A pipeline as the YAML that people write: what `documents.read` of it gives is the same pipeline."""

from typing import Any

import yaml

from dockgate.delivery.model import Action, Pipeline

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))
# Values that the definition takes where nothing is written.
_DEFAULTS: dict[str, object] = {"dockerfile": "Dockerfile", "args": {}, "timeout": 7 * 86400}


def write_pipeline(pipeline: Pipeline) -> str:
    """Return the pipeline's YAML, without what is the default."""
    document = {
        "kind": "Pipeline",
        "name": pipeline.name,
        **_write_fix_settings(pipeline),
        "stages": [
            {"name": stage.name, "actions": [_write_action(action) for action in stage.actions]}
            for stage in pipeline.stages
        ],
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return text


def _write_fix_settings(pipeline: Pipeline) -> dict[str, Any]:
    on_fix = pipeline.on_fix
    if on_fix is None:
        return {}
    return {"onFix": on_fix.action.value} | ({"fixesPerDay": on_fix.per_day} if on_fix.per_day != 1 else {})


def _write_action(action: Action) -> dict[str, Any]:
    values: dict[str, Any] = {"name": action.name, "type": action.type.value}
    if action.run_order != 1:
        values["runOrder"] = action.run_order
    values |= {name: value for name in ("input", "output", "namespace") if (value := getattr(action, name))}
    values |= {
        name: _convert_to_plain(name, value)
        for name, value in action.configuration.items()
        if name not in _DEFAULTS or value != _DEFAULTS[name]
    }
    return values | ({"labels": dict(action.labels)} if action.labels else {})


def _convert_to_plain(name: str, value: Any) -> Any:
    """Return the value with plain types; a duration with its largest whole unit."""
    if name == "timeout" and isinstance(value, int):
        return next((f"{value // size}{unit}" for unit, size in _UNITS if value % size == 0), f"{value}s")
    if isinstance(value, dict):
        return {key: _convert_to_plain("", inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_convert_to_plain("", inner) for inner in value]
    return str(value) if isinstance(value, str) else value
