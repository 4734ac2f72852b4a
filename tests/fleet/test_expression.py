"""The grammar of tag expressions, against Python's own evaluator."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.errors import UsageError
from acp_agent.fleet.expression import parse

TAGS = ("python", "rust", "a.b", "x-1", "0", "not", "T_9")
NAMES = {tag: f"tag{number}" for number, tag in enumerate(TAGS)}


def texts() -> st.SearchStrategy[str]:
    space = st.sampled_from(["", " ", "  ", "\t", "\n"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        joined = st.tuples(inner, space, st.sampled_from(["&&", "||"]), space, inner).map("".join)
        negated = st.tuples(st.just("!"), space, inner).map("".join)
        grouped = st.tuples(st.just("("), space, inner, space, st.just(")")).map("".join)
        return joined | negated | grouped

    return st.recursive(st.sampled_from(TAGS), grow, max_leaves=12)


def as_python(text: str) -> str:
    tokens = re.findall(r"&&|\|\||[!()]|[^\s&|!()]+", text)
    words = {"&&": "and", "||": "or", "!": "not"}
    return " ".join(words.get(token, NAMES.get(token, token)) for token in tokens)


@given(texts(), st.sets(st.sampled_from(TAGS)))
def test_an_expression_means_what_python_means_by_it(text: str, tags: set[str]) -> None:
    # In Python `not` binds looser than in our grammar only towards comparisons, of which there are none.
    values = {name: tag in tags for tag, name in NAMES.items()}
    assert parse(text).matches(tags) is eval(as_python(text), {}, values)


@given(texts())
def test_every_tag_of_an_expression_is_wanted_or_unwanted(text: str) -> None:
    expression = parse(text)
    assert expression.wanted | expression.unwanted == {tag for tag in expression.postfix if tag in NAMES}


@given(st.text(alphabet="ab&|!() \n\x00é\U0001f600-._", max_size=40) | st.text(max_size=40))
def test_any_text_is_an_expression_or_a_usage_error_of_one_line(text: str) -> None:
    try:
        parse(text).matches({"a"})
    except UsageError as error:
        assert error.what.startswith("--expr: ")
        assert error.what.isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--expr: expected a tag at column 1"),
        ("  ", "--expr: expected a tag at column 3"),
        ("python &&", '--expr: expected a tag after "&&" at column 8'),
        ("python && || rust", '--expr: expected a tag before "||" at column 11'),
        ("&& a", '--expr: expected a tag before "&&" at column 1'),
        ("a & b", '--expr: "&" at column 3 must be "&&"'),
        ("a b", '--expr: expected "&&" or "||" before "b" at column 3'),
        ("a !b", '--expr: expected "&&" or "||" before "!" at column 3'),
        ("(a", '--expr: the "(" at column 1 is never closed'),
        ("a || b)", '--expr: the ")" at column 7 closes nothing'),
        ("a || ()", '--expr: expected a tag after "(" at column 6'),
        ("a\x00", '--expr: unexpected "\\x00" at column 2'),
        ("-a", '--expr: unexpected "-" at column 1'),
    ],
)
def test_an_error_names_the_column(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.what == said


def test_a_hundred_thousand_parentheses_are_no_trouble() -> None:
    depth = 100_000
    assert parse("(" * depth + "a" + ")" * depth).matches({"a"})
    assert parse("!" * depth + "a").matches({"a"})
    with pytest.raises(UsageError, match='the "\\(" at column 100000 is never closed'):
        parse("(" * depth + "a")


def test_a_tag_under_two_negations_is_wanted() -> None:
    expression = parse("!(a && !b) || !c && d")
    assert (set(expression.wanted), set(expression.unwanted)) == ({"b", "d"}, {"a", "c"})


def test_every_ascii_letter_and_digit_may_begin_a_tag() -> None:
    for letter in string.ascii_letters + string.digits:
        assert parse(letter).matches({letter})
