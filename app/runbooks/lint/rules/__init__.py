"""All rules, in order. A new one is a function and a line here and in docs/runbook-lint.md."""

from app.runbooks.lint.findings import Level
from app.runbooks.lint.rule import Rule
from app.runbooks.lint.rules import (
    commands,
    front_matter,
    links,
    sections,
    steps,
    variables,
    words,
)

E, W = Level.ERROR, Level.WARNING

RULES: tuple[Rule, ...] = (
    Rule("RB01", E, "The file, its front matter and its step comments can be read", front_matter.readable, mends=True),
    Rule("RB02", E, "Ids are those of the file and of one step each, and stay so", front_matter.identity, mends=True),
    Rule("RB03", E, "Somebody is named who helps when this does not", sections.says_who_is_next, mends=True),
    Rule("RB04", E, "It says when it is over", sections.says_when_it_is_over),
    Rule("RB05", E, "What changes something can be taken back", steps.changes_can_be_undone, mends=True),
    Rule("RB06", W, "It says who notices what", sections.says_who_suffers),
    Rule("RB07", E, "It says what to do", sections.acts),
    Rule("RB08", W, "It says how to find the cause", sections.looks_first),
    Rule("RB09", W, "It has steps or commands", sections.can_be_followed),
    Rule("RB10", W, "Commands are without prompts", commands.prompts_are_left_out, mends=True),
    Rule("RB11", W, "Blanks in commands are variables", variables.blanks_are_variables, mends=True),
    Rule("RB12", W, "Blocks of code name their language", commands.languages_are_named, mends=True),
    Rule("RB13", W, "Links are secure and open for everybody", links.links_open, mends=True),
    Rule("RB14", E, "Relative links lead to what is there", links.relative_links_exist, mends=True),
    Rule("RB15", W, "It is short enough for the night", sections.is_short),
    Rule("RB16", W, "Commands and what they print stand apart", commands.output_stands_apart, mends=True),
    Rule("RB17", E, "Commands that destroy are in steps of high risk", commands.dangers_are_marked, mends=True),
    Rule("RB18", E, "Commands that destroy come with a warning or a way back", commands.dangers_are_told),
    Rule("RB19", W, "Headings nest, and each is there once", sections.headings_nest),
    Rule("RB20", E, "Nothing is left to be written", words.nothing_is_left_over),
    Rule("RB21", E, "Anchors, options, `undo` and `on_fail` lead somewhere", links.targets_exist, mends=True),
    Rule("RB22", E, "Blocks of code are closed", commands.fences_are_closed),
    Rule("RB23", E, "No secrets", words.no_secrets),
    Rule("RB24", E, "Variables are declared, used and guarded", variables.variables_are_declared, mends=True),
    Rule("RB25", W, "A step has one command and says what to expect", steps.steps_say_what_to_expect),
    Rule("RB26", W, "Signals name alerts that exist", front_matter.known_signals),
    Rule("RB27", W, "Owner and escalation reach a person", front_matter.reachable_people),
    Rule("RB28", W, "It was verified in time, and nothing has expired", front_matter.fresh),
    Rule("RB29", E, "Every step is reached, and every decision leads out", steps.every_way_leads_out),
    Rule("RB30", W, "Steps in use keep their ids", steps.live_steps_stay),
    Rule("RB31", W, "Rows of a table are equally long", words.tables_are_even),
    Rule("RB32", E, "No HTML that is not shown, no invisible characters", words.no_hidden_marks, mends=True),
    Rule("RB33", W, "Steps say how", steps.words_are_exact),
    Rule("RB34", W, "Severity and impact fit", sections.severity_fits_impact),
)  # fmt: skip
