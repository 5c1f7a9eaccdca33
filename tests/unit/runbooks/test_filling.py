"""Values become text on pages, and stay one word or one string in commands."""

import json
import re
import shlex
import time

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.runbooks.filling import MASK, check_value, fill_command, fill_html
from app.runbooks.front_matter import Variable
from app.runbooks.quoting import unprintable
from app.runbooks.rendering import with_variables
from tests.unit.runbooks.test_markdown import Checked, assert_harmless

MARK = '<span class="var">{{x}}</span>'
printable = st.text(
    st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" "),
    min_size=1,
    max_size=40,
)
nasty = st.one_of(
    printable,
    st.text("ab '\"\\$`!;|&<>(){}[]*?#~^%=:,.-/@+{{x}}", min_size=1, max_size=25),
    st.sampled_from(["$(reboot)", "`reboot`", "a'b", 'a"b', "-rf", "a b", "{{x}}", "*", "a\\"]),
)


def fill(command, value, language="bash", **more):
    return fill_command(command, {"x": value}, [Variable("x", **more)], language)


def text_of(command, value, language="bash"):
    filled = fill(command, value, language)
    assert filled.refused == ""
    return filled.text


# --- On pages


def test_a_value_is_escaped_and_marked():
    assert fill_html(f"<p>{MARK}</p>", {"x": '<b>"&'}) == (
        '<p><span class="var" data-filled="x">&lt;b&gt;&quot;&amp;</span></p>'
    )


@pytest.mark.parametrize("values", [{}, {"x": ""}, {"y": "1"}])
def test_a_variable_without_a_value_stays_marked(values):
    assert fill_html(MARK, values) == MARK


def test_what_can_not_be_seen_is_shown():
    assert "a\ufffdb\ufffd" in fill_html(MARK, {"x": "a\u202eb\n"})


def test_a_value_is_never_filled_itself():
    html = fill_html(f"{MARK} {MARK.replace('x', 'y')}", {"x": "{{y}}", "y": "1"})

    assert html.count("{{y}}") == 1
    assert fill_command("{{x}} {{y}}", {"x": "a{{y}}", "y": "1"}, []).text == "'a{{y}}' 1"


@pytest.mark.parametrize(
    ("href", "filled"),
    [
        ("https://g.example/d?m={{x}}", "https://g.example/d?m=a%20b%26c%3D%2F"),
        ("https://g.example/d?m=%7B%7Bx%7D%7D&amp;n=1", "https://g.example/d?m=a%20b%26c%3D%2F&amp;n=1"),
        ("https://{{x}}/d", "https://{{x}}/d"),
        ("https://g.example{{x}}/d", "https://g.example{{x}}/d"),
        ("/runbooks/{{x}}", "/runbooks/{{x}}"),
    ],
)  # fmt: skip
def test_a_link_takes_a_value_behind_its_host_only(href, filled):
    assert fill_html(f'<a href="{href}">', {"x": "a b&c=/"}) == f'<a href="{filled}">'


@pytest.mark.parametrize("value", ["..", "a\nb", "\u202e"])
def test_a_link_takes_no_odd_value(value):
    html = '<a href="https://g.example/{{x}}/b">'

    assert fill_html(html, {"x": value}) == html


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
@example('"><script>alert(1)</script>')
@example('</span><img src=x onerror="alert(1)">')
def test_filling_never_makes_a_tag(value):
    html = f'<p>{MARK} <code>{MARK}</code> <a href="https://g.example/?m={{{{x}}}}">y</a></p>'
    plain = fill_html(html, {"x": "value"})
    filled = fill_html(html, {"x": value})

    assert tags_of(filled) == tags_of(plain if value else html)
    assert_harmless(filled)
    assert tags_of(fill("a {{x}} '{{x}}'", value).html) <= {"span"}


def tags_of(html):
    found = set()

    class Tags(Checked):
        def handle_starttag(self, tag, attributes):
            super().handle_starttag(tag, attributes)
            found.add(tag)

    Tags().feed(str(html))
    return found


# --- In a shell


@pytest.mark.parametrize(
    ("command", "value", "text"),
    [
        ("logs {{x}}", "reco-ranker", "logs reco-ranker"),
        ("logs {{ x }}-pod", "reco", "logs reco-pod"),
        ("logs {{x}}", "a b", "logs 'a b'"),
        ("logs {{x}}", "$(reboot)", "logs '$(reboot)'"),
        ("logs {{x}}", "it's", "logs 'it'\"'\"'s'"),
        ("logs {{x}}", "~root", "logs '~root'"),
        ("logs {{x}}", "=cat", "logs '=cat'"),
        ("logs '{{x}}'", "a b", "logs 'a b'"),
        ("logs '{{x}}'", "it's", "logs 'it'\"'\"'s'"),
        ('logs "{{x}}"', "a b", 'logs "a b"'),
        ('logs "{{x}}"', "it's", 'logs "it\'s"'),
        ('logs "{{x}}"', "$HOME", "logs \"\"'$HOME'\"\""),
        ('logs "$(find {{x}})"', "a b", "logs \"$(find 'a b')\""),
        ("scale --replicas={{x}}", "-3", "scale --replicas=-3"),
        ("# don't touch {{x}}\nls {{x}}", "reco", "# don't touch reco\nls reco"),
        ("curl -d '{\"m\": \"{{x}}\"}' u", "a b", "curl -d '{\"m\": \"a b\"}' u"),
        ("q 'up{m=\"{{x}}\"}[{{x}}]'", "5m", "q 'up{m=\"5m\"}[5m]'"),
        ("sh -c 'logs {{x}}'", "reco-1", "sh -c 'logs reco-1'"),
        ("cat <<EOF\nm: {{x}}\nEOF\nls", "reco", "cat <<EOF\nm: reco\nEOF\nls"),
        ("cat <<'EOF'\nm: \"{{x}}\"\nEOF\nls", "a b", "cat <<'EOF'\nm: \"a b\"\nEOF\nls"),
        ("cat <<< {{x}}", "a b", "cat <<< 'a b'"),
        ("x=$(( {{x}} + 1 ))", "3", "x=$(( 3 + 1 ))"),
        ("echo ${Y:-{{x}}} `date {{x}}`", "reco", "echo ${Y:-reco} `date reco`"),
        ("echo it's {{x}}", "reco", "echo it's reco"),
    ],
)  # fmt: skip
def test_a_value_is_quoted_for_where_it_stands(command, value, text):
    assert text_of(command, value) == text


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("logs {{x}}", "a\nb"),
        ("logs {{x}}", "a\tb"),
        ("logs {{x}}", "a\u202eb"),
        ("logs {{x}}", "a\u200bb"),
        ("logs {{x}}", "a\u00a0b"),
        ("logs {{x}}", "\x1b[31m"),
        ("logs {{x}}", "a" * 501),
        ("logs {{x}}", "--all"),
        ("logs '{{x}}'", "-rf"),
        ("sh -c 'logs {{x}}'", "a; reboot"),
        ("sh -c 'logs {{x}}'", "a b"),
        ("sh -c 'logs \"{{x}}\"'", "$(reboot)"),
        ("sh -c \"logs '{{x}}'\"", "a'; reboot '"),
        ("curl -d '{\"m\": \"{{x}}\"}' u", 'a", "admin": "yes'),
        ("curl -d '{\"n\": {{x}}}' u", "1, \"admin\": 2"),
        ("q 'up{m=~\"{{x}}\"}'", ".*"),
        ("psql -c \"select 1 where a = '{{x}}'\"", "a' or 'b"),
        ("psql -c \"select 1 where a = {{x}}\"", "1--"),
        ("ls # {{x}}", "a'b"),
        ("cat <<EOF\nm: {{x}}\nEOF", "$(reboot)"),
        ("cat <<EOF\nm: '{{x}}'\nEOF", "$(reboot)"),
        ("cat <<EOF\nm: {{x}}", "a b"),
        ("echo `date {{x}}`", "a b"),
        ("x=$(( {{x}} + 1 ))", "a[$(reboot)]"),
        ("echo ${Y:-{{x}}}", "}; reboot"),
        ("echo $'{{x}}'", "a\\'; reboot"),
        ("echo \\{{x}}", "a b"),
        ("echo it's {{x}}", "a b"),
        ("echo {{x}} it's", "a b"),
        ('echo "{{x}}', "a b"),
        ("(" * 5000 + "{{x}}", "a b"),
    ],
)  # fmt: skip
def test_a_value_that_can_not_stand_there_is_refused(command, value):
    filled = fill(command, value)

    assert filled.text == ""
    assert filled.refused.startswith("The value of x can't be put into this command: ")
    assert filled.shown == command


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(
        [
            "run {{x}} after",
            "run pre-{{x}}-post after",
            "run '{{x}}' after",
            'run "{{x}}" after',
            "run --m='pre{{x}}' after",
            'run --m="pre{{x}}post" after',
            "run a'b'{{x}}\"c\" after",
            "run 'a''{{x}}' after",
        ]
    ),
    nasty,
)
def test_a_word_of_a_shell_stays_one_word(command, value):
    filled = fill(command, value)
    if filled.refused:
        assert value.startswith("-") or unprintable(value)
        return

    before, word, after = shlex.split(filled.text)

    assert (before, after) == ("run", "after")
    assert word == shlex.split(command.replace("{{x}}", "MARK"))[1].replace("MARK", value)


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab \n'\"\\$`(){}<EOF|;&#!{{x}}{{y}}", max_size=40),
    st.sampled_from([*"'\"`;|$(", " a"]),
)
def test_no_value_changes_how_a_command_is_split(command, sign):
    plain, odd = (fill(command, value) for value in ("VALUE", f"VA{sign}LUE"))
    try:
        words = shlex.split(plain.text, comments=False)
    except ValueError:
        return  # not a command: then only plain values are taken
    if not odd.refused and "<<" not in command and "#" not in command:
        assert len(shlex.split(odd.text)) == len(words)


def test_secret_values_are_masked_where_they_are_shown():
    filled = fill("login {{x}} {{y}}", "hunter 2", secret=True)

    assert filled.text == "login 'hunter 2' {{y}}"
    assert filled.shown == f"login {MASK} {{{{y}}}}"
    assert "hunter" not in filled.html
    assert filled.missing == ("y",)


def test_a_command_says_which_values_it_lacks():
    filled = fill_command("a {{x}} '{{y}}' {{x}}", {"y": ""}, [])

    assert filled.missing == ("x", "y")
    assert filled.text == filled.shown == "a {{x}} '{{y}}' {{x}}"
    assert filled.html == with_variables("a {{x}} '{{y}}' {{x}}")


def test_a_command_without_variables_stays_as_it_is():
    assert fill_command("cat <<EOF\n'\nEOF", {}, []).text == "cat <<EOF\n'\nEOF"


# --- In queries and data


@pytest.mark.parametrize(
    ("language", "command", "value", "text"),
    [
        ("promql", 'up{m="{{x}}"}', 'a"b\\', 'up{m="a\\"b\\\\"}'),
        ("promql", "up{m='{{x}}'}", "a'b", "up{m='a\\'b'}"),
        ("promql", 'up{m=~"{{x}}-.*"}', "a.*|b", 'up{m=~"a\\\\.\\\\*\\\\|b-.*"}'),
        ("promql", "up[{{x}}]", "1h30m", "up[1h30m]"),
        ("promql", "up > {{x}}", "-0.5", "up > -0.5"),
        ("json", '{"a": "{{x}}"}', 'b", "c": "d', '{"a": "b\\", \\"c\\": \\"d"}'),
        ("json", '{"a": {{x}}}', "3", '{"a": 3}'),
        ("json", '{"a": {{x}}}', "reco", '{"a": "reco"}'),
        ("yaml", "a: {{x}}", "reco", "a: reco"),
        ("yaml", "a: {{x}}", "b: c #", "a: 'b: c #'"),
        ("yaml", "a: '{{x}}'", "it's", "a: 'it''s'"),
        ("yaml", 'a: "{{x}}"', 'b"', 'a: "b\\""'),
        ("sql", "select '{{x}}'", "it's", "select 'it''s'"),
        ("sql", "select {{x}}", "schema.table", "select schema.table"),
        ("text", "{{x}} is slow", "reco ranker", "reco ranker is slow"),
        ("python", "print('{{x}}')", "reco ranker", "print('reco ranker')"),
        ("hcl", "a = {{x}}", "3", "a = 3"),
    ],
)  # fmt: skip
def test_a_value_is_written_for_its_language(language, command, value, text):
    assert text_of(command, value, language) == text


@pytest.mark.parametrize(
    ("language", "command", "value"),
    [
        ("promql", "up[{{x}}]", "5m]) or vector(1"),
        ("promql", "up{m=`{{x}}`}", "a`b"),
        ("promql", "up # {{x}}", "a b"),
        ("promql", 'up{m="{{x}}', 'a"'),
        ("json", '{"a": 1{{x}}}', "a"),
        ("json", '{"a": "{{x}}', 'a"'),
        ("yaml", "a: b-{{x}}", "c: d"),
        ("yaml", "# {{x}}\na: b", "a b"),
        ("sql", "select {{x}}", "1; drop table models"),
        ("sql", "select '{{x}}'", "\\"),
        ("sql", "select 1 -- {{x}}", "a b"),
        ("sql", "select $${{x}}$$", "a$$b"),
        ("sql", "select '{{x}}", "a'b"),
        ("text", "{{x}} is slow", "$(reboot)"),
        ("python", "print({{x}})", "a b"),
        ("python", "print('{{x}}')", "a')"),
        ("powershell", 'Get "{{x}}"', "$(reboot)"),
    ],
)  # fmt: skip
def test_a_value_that_a_language_would_take_for_its_own_is_refused(language, command, value):
    assert fill(command, value, language).refused


@settings(max_examples=200, deadline=None)
@given(nasty)
def test_json_and_yaml_keep_the_value(value):
    if unprintable(value):
        return
    assert json.loads(text_of('{"a": ["{{x}}"], "b": 1}', value, "json")) == {"a": [value], "b": 1}
    for text in ("a: '{{x}}'\nb: 1", 'a: "{{x}}"\nb: 1'):
        filled = yaml.safe_load(text_of(text, value, "yaml"))
        assert filled == {"a": value, "b": 1}
    filled = fill("a: {{x}}\nb: 1", value, "yaml")
    assert set(yaml.safe_load(filled.text)) == {"a", "b"}


@settings(max_examples=200, deadline=None)
@given(nasty)
def test_a_string_of_a_query_stays_one_string(value):
    if unprintable(value):
        return
    text = text_of('up{m="{{x}}",n=~"{{x}}"}', value, "promql")
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"', text)

    assert re.sub(r'"(?:[^"\\]|\\.)*"', "S", text) == "up{m=S,n=~S}"
    assert re.sub(r"\\(.)", r"\1", strings[0]) == value
    assert re.fullmatch(re.sub(r"\\(.)", r"\1", strings[1]), value)


def test_long_commands_are_filled_in_time():
    began = time.thread_time()

    for command in ("echo " + "'{{x}}' " * 20_000, '"' + "{{x}}" * 3_000, "$(" * 8_000):
        for language in ("bash", "promql", "json", "yaml", "sql", "text", "go"):
            fill(command, "a b", language)

    assert time.thread_time() - began < 3


# --- Which values a variable takes


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (Variable("x"), "anything at all", None),
        (Variable("x"), "", None),
        (Variable("x", required=True), "", "x needs a value."),
        (Variable("x"), "a\nb", "This can't be the value of x: it has more than one line."),
        (Variable("x", choices=("1h", "6h", "1d")), "6h", None),
        (Variable("x", choices=("1h", "6h", "1d")), "2h", "x can only be 1h, 6h or 1d."),
        (Variable("x", pattern="^[a-z0-9-]+$"), "reco-1", None),
        (Variable("x", pattern="^[a-z0-9-]+$"), "reco 1", "x must have the form ^[a-z0-9-]+$"),
        (Variable("x", pattern="[a-z]+"), "a; reboot", "x must have the form [a-z]+"),
        (Variable("x", pattern="^(10|50|100)$"), "50", None),
        (Variable("x", pattern="^(10|50|100)$"), "5", "x must have the form ^(10|50|100)$"),
        (Variable("x", pattern="[a-z]+(-[a-z]+)*"), "a-b-c", None),
        (Variable("x", pattern="("), "anything", None),
        (Variable("x", pattern="[z-a]"), "anything", None),
        (Variable("x", pattern=r"https?://[a-z0-9.:/_-]*\.[a-z]+\d+x*"), "https://a.b1", None),
    ],
)
def test_a_value_is_checked(variable, value, sentence):
    assert check_value(variable, value) == sentence


def test_a_pattern_that_never_ends_is_ended():
    sentence = check_value(Variable("x", pattern="^(a|a)*(a+)+$"), "a" * 60 + "!")

    assert sentence.startswith("The pattern of x takes too long to check.")
    assert check_value(Variable("x", pattern="(a|b)+"), "ab") is None
