"""What Now says in sentences."""

import pytest

from app.overview.rules import at_most, what_is_open, where_pages_go


@pytest.mark.parametrize(
    ("count", "mine", "sentence"),
    [
        (0, 0, "No incident is open."),
        (1, 0, "One incident is open."),
        (1, 1, "One incident is open; you lead it."),
        (2, 1, "Two incidents are open; you lead one of them."),
        (3, 3, "Three incidents are open; you lead all of them."),
        (1200, 0, "1,200 incidents are open."),
    ],
)
def test_the_summary_counts_what_is_open_and_what_the_reader_leads(count, mine, sentence):
    assert what_is_open(count, mine) == sentence


@pytest.mark.parametrize(
    ("named", "unconnected", "teams", "starts"),
    [
        ([], 0, 0, "Pages go nowhere: there is no team yet"),
        (["Serving"], 1, 1, "Pages go to the sandbox pager: no team is connected"),
        (["Serving"], 1, 2, "Pages of Serving go to the sandbox pager"),
        (["Ads", "Serving"], 2, 3, "Pages of Ads and Serving go"),
        (["Ads", "Maps"], 3, 4, "Pages of Ads, Maps and one more team go"),
        (["Ads", "Maps"], 4, 5, "Pages of Ads, Maps and two more teams go"),
    ],
)
def test_the_notice_names_whose_pages_wake_nobody(named, unconnected, teams, starts):
    sentence = where_pages_go(named, unconnected, teams)

    assert sentence is not None
    assert sentence.startswith(starts)
    assert sentence.endswith("so nobody is woken.")


def test_there_is_no_notice_once_every_team_is_connected():
    assert where_pages_go([], 0, 3) is None


@pytest.mark.parametrize(("count", "said"), [(0, "0"), (99, "99"), (100, "100+")])
def test_a_count_that_stopped_at_its_limit_says_so(count, said):
    assert at_most(count, 100) == said
