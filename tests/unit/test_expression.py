"""Conditions of authors: what is one, what it means, and that nothing else gets through."""

import pytest

from schemas.expression import parse_condition


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("t > 40", {"t": 41.0}, True),
        ("t > 40 and not lid", {"t": 41.0, "lid": True}, False),
        ("10 <= t < 20", {"t": 20.0}, False),
        ("abs(a - b) / 2 >= max(c, 1)", {"a": 1.0, "b": 5.0, "c": 0.5}, True),
        ("true", {}, True),
        ("False or x", {"x": True}, True),
        ("a ==\n b", {"a": 1, "b": 1}, True),
        ("-a < +b", {"a": 1, "b": 0}, True),
        ("a < 9223372036854775808", {"a": 1}, True),
    ],
)
def test_a_condition_means_what_python_means_by_it(text: str, values: dict[str, object], expected: object) -> None:
    condition = parse_condition(text)

    assert set(condition.names) == set(values)
    source = condition.source(lambda name: f"row['{name}']")
    assert eval(source, {"row": values}) is expected  # noqa: S307 - of a source that was checked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t >", "is no condition"),
        ("", "is no condition"),
        ("t + 1", "is a number"),
        ("3", "is a number"),
        ("abs(t)", "is a number"),
        ("__import__('os').system('true') == 0", "not permitted"),
        ("t.real > 0", "not permitted"),
        ("a[0] > 1", "not permitted"),
        ("(lambda: 1)() > 0", "not permitted"),
        ("'a' == b", "not permitted"),
        ("a is b", "not permitted"),
        ("a if b else c", "not permitted"),
        ("[x for x in y] == z", "not permitted"),
        ("a ** b > 1", "not permitted"),
        ("1e999 > a", "not permitted"),
        ("9" * 101 + " > a", "not permitted"),
        ("abs > 1", "not permitted"),
        ("max(a) > 1", "max takes 2 to 8 values, not 1"),
        ("abs(a, b) > 1", "abs takes 1 to 1 values, not 2"),
        ("a > 1) or (b", "is no condition"),
        ("a := 1", "is no condition"),
        ("x > " * 300 + "1", "at most 1000 characters"),
        ("t < 60  # too hot\nand not lid", "holds a comment"),
    ],
)
def test_whatever_else_python_knows_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"condition|values") as refused:
        parse_condition(text)

    assert message in str(refused.value)


@pytest.mark.parametrize("text", ["(" * 400 + "a" + ")" * 400, "-" * 900 + "a > 0", "a" + " + 1" * 240 + " > 0"])
def test_deep_nesting_is_refused_and_ends_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"condition|nested more than 100 deep"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "truths"),
    [
        ("a", ("a",)),
        ("not a and b > 1", ("a",)),
        ("(a or c) == d", ("a", "c")),
        ("a == b and max(c, d) > 0 and true", ()),
    ],
)
def test_a_condition_tells_which_of_its_fields_must_be_booleans(text: str, truths: tuple[str, ...]) -> None:
    assert parse_condition(text).truths == truths
