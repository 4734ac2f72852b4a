"""Which schemas are closed, and what is said of those that are not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.config.schema_text import check_value, parse_schema
from acp_agent.domain.errors import UsageError
from acp_agent.llm.closed import NO_ANSWER, OPEN_HINT, ClosedField, closed_fields, with_no_answer, words_of


def of(field: Any, name: str = "size") -> dict[str, Any]:
    return {"type": "object", "properties": {name: field}, "required": [name], "additionalProperties": False}


@pytest.mark.parametrize(
    ("field", "choices"),
    [
        ({"type": "boolean"}, (True, False)),
        ({"enum": ["low", "high"]}, ("low", "high")),
        ({"type": "string", "enum": ["a"], "description": "one"}, ("a",)),
        ({"type": "integer", "minimum": 1, "maximum": 3}, (1, 2, 3)),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3}, (1, 2)),
        ({"const": 7}, (7,)),
        ({"anyOf": [{"type": "boolean"}, {"enum": ["maybe", None]}]}, (True, False, "maybe", None)),
        ({"enum": [1, True, 1.0, "1"]}, (1, True, "1")),
    ],
)
def test_a_closed_field_has_all_its_values(field: dict[str, Any], choices: tuple[object, ...]) -> None:
    (found,) = closed_fields(of(field))
    assert [(type(choice), choice) for choice in found.choices] == [(type(choice), choice) for choice in choices]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (of({"type": "string"}), "schema: size is free text"),
        (of({"type": "integer"}), "schema: size is a number without minimum and maximum"),
        (of({"type": "integer", "minimum": 1}), "schema: size is a number without minimum and maximum"),
        (of({"type": "integer", "minimum": 0, "maximum": 1000}), "schema: size has 1001 values, more than 201"),
        (of({"type": "integer", "minimum": 3, "maximum": 1}), "schema: size has no value to choose"),
        (of({"type": "integer", "minimum": 0, "maximum": 9, "multipleOf": 3}), "schema: size has multipleOf, which"),
        (of({"type": "number", "minimum": 0, "maximum": 1}), "schema: size is of type number"),
        (of({"type": "array", "items": {"type": "boolean"}}), "schema: size is of type array"),
        (of({"type": ["string", "null"]}), "schema: size has no single type"),
        (of({"enum": [{"a": 1}]}), "schema: size has values that are objects or lists"),
        (of({"enum": []}), "schema: size has no value to choose"),
        (of({"$ref": "#/$defs/x"}), "schema: size has no single type"),
        (of(True), "schema: size may be anything"),
        ({"type": "object", "properties": {}}, "schema: is no object with fields"),
        ({"enum": ["a", "b"]}, "schema: is no object with fields"),
        ({**of({"type": "boolean"}), "patternProperties": {}}, "schema: patternProperties makes it more than a flat"),
    ],
)
def test_an_open_schema_is_refused_by_the_name_of_its_field(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        closed_fields(schema)
    assert refused.value.what.startswith(said)
    assert refused.value.hint == OPEN_HINT


def test_every_field_may_have_no_answer_and_the_choices_stay() -> None:
    schema = parse_schema("kind: library|tool, tests: bool")
    widened = with_no_answer(schema)
    assert closed_fields(widened) == closed_fields(schema)
    assert check_value(widened, {"kind": "tool", "tests": NO_ANSWER}) is None
    assert check_value(widened, {"kind": "app", "tests": True}) is not None


def test_values_are_said_as_people_say_them() -> None:
    assert [words_of(value) for value in (True, False, None, 3, "low")] == ["yes", "no", "none", "3", "low"]
    assert ClosedField("has_tests", (True,)).label == "has tests"


scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.none())
fields = st.one_of(
    st.builds(lambda values: {"enum": values}, st.lists(scalars, min_size=1, max_size=6)),
    st.just({"type": "boolean"}),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-100, 100),
        st.integers(0, 200),
    ),
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), fields, min_size=1, max_size=4))
def test_every_choice_of_a_closed_schema_fits_it(properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    first = {field.name: field.choices[0] for field in closed_fields(schema)}
    last = {field.name: field.choices[-1] for field in closed_fields(schema)}
    assert (check_value(schema, first), check_value(schema, last)) == (None, None)
