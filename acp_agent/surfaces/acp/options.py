"""Modes and config options of a session, both ways: what an editor may choose, and what its choice changes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events_session import SessionChanged
from acp_agent.domain.policy import Mode
from acp_agent.domain.session import DEFAULT, SessionState

MODES: tuple[tuple[Mode, str, str], ...] = (
    (Mode.PLAN, "Plan", "Look only: nothing is changed or run."),
    (Mode.ASK, "Ask", "Reads freely; asks before every edit and command."),
    (Mode.EDIT, "Edit", "Edits files and runs commands inside the sandbox; asks before anything that leaves it."),
    (Mode.AUTO, "Auto", "Works on its own inside the sandbox and the limits."),
)
EFFORTS: tuple[tuple[str, str], ...] = (
    (DEFAULT, "The model's own"),
    ("low", "Low"),
    ("medium", "Medium"),
    ("high", "High"),
)
ROLE = "role:"


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen on this machine: `default` names the model that is taken without a choice."""

    models: tuple[str, ...]
    roles: tuple[str, ...]
    default: str = ""


def modes_of(state: SessionState) -> dict[str, Any]:
    """The `modes` of older clients."""
    available = [{"id": mode.value, "name": name, "description": text} for mode, name, text in MODES]
    return {"currentModeId": state.mode.value, "availableModes": available}


def options_of(state: SessionState, choices: Choices) -> list[dict[str, Any]]:
    """The complete `configOptions`, in the order of their weight."""
    modes = [{"value": mode.value, "name": name, "description": text} for mode, name, text in MODES]
    efforts = [{"value": value, "name": name} for value, name in EFFORTS]
    model = model_value(state)
    models = _model_values(choices)
    if all(entry["value"] != model for entry in models):
        models.append({"value": model, "name": model.removeprefix(ROLE)})
    return [
        _select("mode", "Mode", "mode", state.mode.value, modes),
        _select("model", "Model", "model", model, models),
        _select("effort", "Thought level", "thought_level", state.effort or DEFAULT, efforts),
    ]


def model_value(state: SessionState) -> str:
    """The value of the model option that `state` stands for."""
    if state.model is not None:
        return state.model
    return f"{ROLE}{state.role}" if state.role != "coder" else DEFAULT


def mode_change(mode_id: str) -> SessionChanged:
    """The change behind `session/set_mode`. Raises UsageError for an unknown mode."""
    known = [mode.value for mode, _, _ in MODES]
    if mode_id not in known:
        raise UsageError(f"there is no mode {mode_id!r}", hint=f"modes: {', '.join(known)}")
    return SessionChanged(mode=Mode(mode_id))


def option_change(state: SessionState, choices: Choices, option: str, value: object) -> SessionChanged:
    """The change behind `session/set_config_option`. Raises UsageError for an unknown option or value."""
    options = {entry["id"]: entry for entry in options_of(state, choices)}
    if option not in options:
        raise UsageError(f"there is no option {option!r}", hint=f"options: {', '.join(options)}")
    known = [entry["value"] for entry in options[option]["options"]]
    if value not in known:
        raise UsageError(f"option {option} has no value {value!r}", hint=f"values: {', '.join(known)}")
    match option:
        case "mode":
            return mode_change(str(value))
        case "effort":
            return SessionChanged(effort=str(value))
        case _:
            text = str(value)
            if text.startswith(ROLE):
                return SessionChanged(role=text.removeprefix(ROLE), model=DEFAULT)
            return SessionChanged(role="coder", model=text)


def _model_values(choices: Choices) -> list[dict[str, Any]]:
    default = {"value": DEFAULT, "name": f"Default ({choices.default})" if choices.default else "Default"}
    roles: Sequence[dict[str, Any]] = [{"value": f"{ROLE}{role}", "name": f"Role {role}"} for role in choices.roles]
    return [default, *roles, *({"value": model, "name": model} for model in choices.models)]


def _select(option: str, name: str, category: str, current: str, values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": option,
        "name": name,
        "category": category,
        "type": "select",
        "currentValue": current,
        "options": list(values),
    }
