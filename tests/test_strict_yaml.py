"""YAML that people write: everything in it counts, or the line is named."""

import time
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsrnss.errors import ConfigError
from dsrnss.strict_yaml import load

GOOD = """\
defaults: &small {size: [64, 128], seed: 0}
data:
  val:
    <<: *small
    seed: 1
classes:
  - road
  - name: 2024-01-31
"""


def test_content_is_that_of_yaml_and_every_key_has_its_line():
    content, lines = load(GOOD, "x.yaml")
    assert content["data"] == {"val": {"size": [64, 128], "seed": 1}}
    assert content["classes"] == ["road", {"name": "2024-01-31"}], "a date is a word"
    assert (lines["data"], lines["data.val.seed"], lines["data.val.size"], lines["classes.1.name"]) == (2, 5, 1, 8)


def test_nothing_is_none():
    assert load("", "x") == load("# only a remark\n", "x") == (None, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml, line 3: not valid YAML: 'a' is given twice, in line 1 and in line 3"),
        ("m:\n  - {k: 1,\n     'k': 2}\n", "'k' is given twice, in line 2 and in line 3"),
        ("255: a\n0xff: b\n", "'0xff' is given twice, in line 1 and in line 2"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a\n", "'<<' is given twice"),
        ("a: [1, 2", "x.yaml, line 1: not valid YAML: expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("a: !!python/object/apply:os.system ['true']", "only plain values are taken"),
        ("a: !!binary aGk=", "only plain values are taken"),
        ("? [a, b]\n: 1", "a key is a word or a number"),
        ("a: &a [1, *a]", "an alias stands inside of what it repeats"),
        ("a: " + "[" * 5000, "nested more than 50 deep"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: !!int x", "not valid YAML"),
        ("a: \0", "not valid YAML"),
        ("a: 1\n" * 300_000, "no file of settings"),
    ],
)
def test_mistakes_are_named_with_their_line(text, said):
    with pytest.raises(ConfigError) as caught:
        load(text, "x.yaml")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_bomb_of_aliases_does_not_go_off():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=r"line \d+: .*unfold into more than 50,000 values"):
        load(text, "x")
    assert time.perf_counter() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_written_comes_back(value):
    assert load(yaml.safe_dump(value, allow_unicode=True), "x")[0] == value


@given(st.text(alphabet="ab:- \n[]{}&*!'\"#|>%?,<1.\t", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        load(text, "x")
    except ConfigError as error:
        assert str(error).startswith("x")
