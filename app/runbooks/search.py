"""Search in runbooks: title, failure mode, signals and text, by the index of the database.

The index holds plain words that were folded here, so that both databases see the same ones:
SQLite in an FTS5 table, PostgreSQL as a `tsvector`. Whoever publishes calls `index` inside of the
same unit of work. The last word of what is typed may be unfinished.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any
from unicodedata import combining, normalize

from markupsafe import Markup, escape
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    and_,
    any_,
    case,
    collate,
    column,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.db import db, holds, is_sqlite, unit_of_work
from app.runbooks.front_matter import FENCED
from app.runbooks.rules import FAILURE_MODES, failure_mode_title, kebab
from app.runbooks.tables import Runbook, RunbookSignal, RunbookVersion

MOST_WORDS = 12
LONGEST_WORD = 60
# Of a text; a `tsvector` holds a megabyte, and nobody looks for the end of a longer one.
INDEXED_CHARACTERS = 100_000
SNIPPET_CHARACTERS = 160
# To weigh words, every text that holds them is read. When more than this many do, the words don't
# say which one is meant anyway.
MOST_WEIGHED = 200
BATCH = 200

WORD = re.compile(r"[^\W_]+")
# What a word may end in that its stem does not have.
ENDINGS = ("ability", "ation", "ement", "ment", "ness", "ing", "ance", "ion", "ely", "ies", "ed")

# The counts bound what a text that was made to be slow can cost.
COMMENT = re.compile(r"<!--[^>]{0,500}-->")
FENCE = re.compile(r"^[ \t]{0,12}(?:`{3,}|~{3,}).{0,200}$", re.MULTILINE)
LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\([^()\n]{0,500}\)")
TITLE = re.compile(r"\A\s*#[ \t].*$", re.MULTILINE)  # shown above the snippet anyway
MARKS = re.compile(r"^[ \t]{0,12}(?:#{1,6}|>|[-*+]|\d{1,4}[.)])[ \t]+", re.MULTILINE)
SIGNS = str.maketrans("", "", "*`|")

_lines = table("runbook_search", column("rowid"), column("runbook_id"), column("words", TSVECTOR))


@dataclass(frozen=True, slots=True)
class Hit:
    runbook_id: int
    slug: str
    title: str
    number: int | None  # of the published version
    retired: bool
    snippet: Markup  # where the words stand, marked


# --- Looking


def find(
    typed: str, limit: int, *, offset: int = 0, among: Sequence[ColumnElement[bool]] = ()
) -> list[Hit]:
    """Runbooks that hold every word, the likeliest first: by title, then signal, mode, text."""
    words = words_of(typed)
    ids = _holding(words)
    if not ids:
        return []
    place = _place(words).label("place")
    retired = Runbook.retired_at.is_not(None).label("retired")
    found = (
        select(Runbook.id, Runbook.slug, Runbook.title, retired, place)
        .where(_is_one_of(ids), *among)
        .order_by(retired, place, _by_name())
    )
    if len(ids) > MOST_WEIGHED:
        rows = list(db.session.execute(found.limit(limit).offset(offset)))
    else:
        weight = {runbook_id: at for at, runbook_id in enumerate(_heaviest_first(words, ids))}
        rows = sorted(
            db.session.execute(found),
            key=lambda row: (row.retired, row.place, weight.get(row.id, len(weight))),
        )[offset : offset + limit]
    versions = _versions([row.id for row in rows])
    return [
        Hit(
            row.id,
            row.slug,
            row.title,
            versions[row.id].number if versions[row.id].is_published else None,
            row.retired,
            snippet(versions[row.id].source, words),
        )
        for row in rows
    ]


def _by_name() -> ColumnElement[str] | InstrumentedAttribute[str]:
    """In an order that costs nothing: the languages' own takes half of a search of thousands."""
    return Runbook.slug if is_sqlite() else collate(Runbook.slug, "C")


def count(typed: str, *, among: Sequence[ColumnElement[bool]] = ()) -> int:
    """How many runbooks hold every word."""
    ids = _holding(words_of(typed))
    if not (ids and among):
        return len(ids)
    found = select(func.count()).select_from(Runbook).where(_is_one_of(ids), *among)
    return db.session.scalar(found) or 0


def words_of(typed: str) -> list[str]:
    """What is looked for. Signs mean nothing, so that any input is a search."""
    return [word[:LONGEST_WORD] for word in plain_words(typed[:1000])[:MOST_WORDS]]


def _holding(words: Sequence[str]) -> list[int]:
    """The ids of all runbooks that hold every word."""
    if not words:
        return []
    if is_sqlite():
        return _matching(_fts5(words)) or _matching(_fts5(words, half_typed=True))
    # Otherwise PostgreSQL would read every text: its planner counts the pages of the rows only,
    # and words are stored beside them. At 5,000 runbooks 65 ms instead of 3.
    _plan_by_index("off")
    ids = db.session.scalar(select(func.array_agg(_lines.c.runbook_id)).where(_has(words)))
    _plan_by_index("on")
    return list(ids or ())


def _matching(said: str) -> list[int]:
    # In one row, because thousands take as long to fetch as to find.
    ids = db.session.scalar(select(func.json_group_array(_lines.c.rowid)).where(_match(said)))
    return list(json.loads(ids or "[]"))


def _match(said: str) -> ColumnElement[bool]:
    return literal_column("runbook_search").bool_op("MATCH")(said)


def _has(words: Sequence[str]) -> ColumnElement[bool]:
    return _lines.c.words.bool_op("@@")(_tsquery(words))


def _plan_by_index(others: str) -> None:
    """Only the index on words, or any plan again. It holds until the transaction ends at most."""
    plans = ("enable_seqscan", "enable_indexscan")
    db.session.execute(select(*(func.set_config(plan, others, True) for plan in plans)))


def _heaviest_first(words: Sequence[str], ids: Sequence[int]) -> Sequence[int]:
    """In which the words stand most often and closest together, by the database's own measure."""
    if is_sqlite():
        weight: ColumnElement[Any] = literal_column("bm25(runbook_search, 8.0, 2.0, 4.0, 1.0)")
        found = select(_lines.c.rowid).where(_match(_fts5(words))).order_by(weight)
    else:
        weight = func.ts_rank(_lines.c.words, _tsquery(words)).desc()
        among = _lines.c.runbook_id == any_(literal(list(ids), ARRAY(Integer)))
        found = select(_lines.c.runbook_id).where(among).order_by(weight)
    return list(db.session.scalars(found))


def _is_one_of(ids: Sequence[int]) -> ColumnElement[bool]:
    # As one value: thousands of them would be more than a statement may have.
    if is_sqlite():
        given = func.json_each(json.dumps(ids)).table_valued("value")
        return Runbook.id.in_(select(given.c.value))
    return Runbook.id == any_(literal(list(ids), ARRAY(Integer)))


def _fts5(words: Sequence[str], *, half_typed: bool = False) -> str:
    *whole, last = words
    endings = [f'"{last}"*']
    if half_typed:
        endings += [f'"{stem}"' for stem in half_typed_stems(last)]
    return " AND ".join([*(f'"{word}"' for word in whole), f"({' OR '.join(endings)})"])


def half_typed_stems(word: str) -> list[str]:
    """`drift` for `drifti`: the index holds stems, and a word is longer while it is typed."""
    return [
        word[:-cut]
        for cut in range(1, min(7, len(word) - 2))
        if any(ending.startswith(word[-cut:]) for ending in ENDINGS)
    ]


def _tsquery(words: Sequence[str]) -> ColumnElement[Any]:
    """As it stands or by its stem. English drops words such as `down`, which matter here."""
    *whole, last = words
    query: ColumnElement[Any] | None = None
    for word in (*whole, f"{last}:*"):
        one = func.to_tsquery("simple", word).op("||")(func.to_tsquery("english", word))
        query = one if query is None else query.op("&&")(one)
    assert query is not None
    return query


def _place(words: Sequence[str]) -> ColumnElement[int]:
    """Where the words stand: 0 in the title, 1 in a signal, 2 in the failure mode, 3 below."""
    by_signal = select(RunbookSignal.version_id).where(
        *(
            or_(RunbookSignal.alertname.contains(word), holds(RunbookSignal.metric, word))
            for word in words
        )
    )
    modes = [
        mode
        for mode, said in FAILURE_MODES.items()
        if all(word in f"{mode} {said.lower()}" for word in words)
    ]
    return case(
        (
            and_(*(or_(holds(Runbook.title, word), Runbook.slug.contains(word)) for word in words)),
            0,
        ),
        (Runbook.published_id.in_(by_signal), 1),
        (
            or_(
                Runbook.failure_mode.in_(modes),
                and_(*(Runbook.failure_mode.contains(word) for word in words)),
            ),
            2,
        ),
        else_=3,
    )


def _versions(runbook_ids: Sequence[int]) -> dict[int, Any]:
    """The texts that are searched: the published ones, else the newest."""
    rows = db.session.execute(
        select(
            Runbook.id,
            RunbookVersion.number,
            RunbookVersion.source,
            Runbook.published_id.is_not(None).label("is_published"),
        )
        .join(RunbookVersion, RunbookVersion.id == _searched())
        .where(Runbook.id.in_(runbook_ids))
    )
    return {row.id: row for row in rows}


def _searched() -> ColumnElement[int]:
    newest = (
        select(func.max(RunbookVersion.id))
        .where(RunbookVersion.runbook_id == Runbook.id)
        .correlate(Runbook)
        .scalar_subquery()
    )
    return func.coalesce(Runbook.published_id, newest)


# --- Words


def plain_words(said: str) -> list[str]:
    """Words in lower case and without accents: letters and digits of any script."""
    folded = normalize("NFKD", said)
    if not folded.isascii():
        folded = "".join(each for each in folded if not combining(each))
    return WORD.findall(folded.casefold())


def text_of(source: bytes) -> str:
    """A file without its front matter and its title, which are shown elsewhere."""
    said = source.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    for head in (FENCED, TITLE):
        if found := head.match(said):
            said = said[found.end() :]
    return said


def readable(said: str) -> str:
    """Markdown as one line of words, without its marks."""
    for pattern, instead in ((COMMENT, " "), (FENCE, " "), (LINK, r"\1"), (MARKS, "")):
        said = pattern.sub(instead, said)
    return " ".join(said.translate(SIGNS).split())


def snippet(source: bytes, words: Sequence[str]) -> Markup:
    """The part of a file that holds most of the words, which are marked; else its start."""
    said = text_of(source)
    at = _densest(said, _spans(said, words)) - SNIPPET_CHARACTERS
    start = said.rfind("\n", 0, at) + 1 if at > 0 else 0
    if at - start > SNIPPET_CHARACTERS:  # the line is long
        start = said.find(" ", at) + 1
    # Only what may be shown is made readable: it takes most of the time.
    return _marked(
        readable(said[start : start + 6 * SNIPPET_CHARACTERS]), words, begins_within=start > 0
    )


def _marked(said: str, words: Sequence[str], *, begins_within: bool) -> Markup:
    found = _spans(said, words)
    start = max(0, _densest(said, found) - SNIPPET_CHARACTERS // 4)
    start = said.find(" ", start) + 1 if start else 0
    end = start + SNIPPET_CHARACTERS
    if end < len(said):
        end = max(said.rfind(" ", start, end), start + SNIPPET_CHARACTERS // 2)
    marked, done = Markup("…") if start or begins_within else Markup(""), start
    for first, last in found:
        if done <= first and last <= end:
            marked += escape(said[done:first]) + Markup("<mark>{}</mark>").format(said[first:last])
            done = last
    return marked + escape(said[done:end]) + ("…" if end < len(said) else "")


def _spans(said: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """From where to where the words stand."""
    pattern = _pattern(said, words)
    return [found.span() for found in islice(pattern.finditer(said), 500)] if pattern else []


def _densest(said: str, found: Sequence[tuple[int, int]]) -> int:
    """Where the most different words follow closely; of equals, the first."""

    def different(number: int) -> int:
        end = found[number][0] + SNIPPET_CHARACTERS // 2
        near = takewhile(lambda span: span[1] < end, islice(found, number, None))
        return len({said[first:last].lower() for first, last in near})

    # A few are enough to find a good one.
    best = max(range(min(50, len(found))), key=different, default=None)
    return 0 if best is None else found[best][0]


def _pattern(said: str, words: Iterable[str]) -> re.Pattern[str] | None:
    """What to mark: what begins as a typed word does, or else as its stem may."""
    lower = said.lower()
    shown = {
        part
        for word in words
        for part in [word if word in lower else word[: max(4, len(word) - 3)]]
        if part in lower
    }
    if not shown:
        return None
    longest_first = sorted(shown, key=lambda part: (-len(part), part))
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})", re.IGNORECASE)


# --- The index


def index(session: Session, *runbook_ids: int) -> None:
    """Take runbooks into the index as they now read, inside the unit of work that changed them."""
    session.flush()
    for start in range(0, len(runbook_ids), BATCH):
        _index(session, runbook_ids[start : start + BATCH])


def is_behind() -> bool:
    """Whether a runbook is missing from the index: it is new, or the database was restored."""
    key = _lines.c.rowid if is_sqlite() else _lines.c.runbook_id
    there = exists(select(literal(1)).select_from(_lines).where(key == Runbook.id))
    return db.session.scalar(select(Runbook.id).where(~there).limit(1)) is not None


def reindex_all() -> int:
    """Build the whole index again, some at a time; says how many runbooks it holds."""
    ids = list(db.session.scalars(select(Runbook.id).order_by(Runbook.id)))
    for start in range(0, len(ids), BATCH):
        with unit_of_work() as session:  # each short: alerts are written meanwhile
            _index(session, ids[start : start + BATCH])
    return len(ids)


def catch_up() -> int:
    """Build the index if it is empty or behind: for the start of a process."""
    behind = is_behind()
    db.session.rollback()
    return reindex_all() if behind else 0


def _index(session: Session, ids: Sequence[int]) -> None:
    rows = session.execute(
        select(
            Runbook.id,
            Runbook.slug,
            Runbook.failure_mode,
            Runbook.owner,
            RunbookVersion.id,
            RunbookVersion.title,
            RunbookVersion.source,
        )
        .join(RunbookVersion, RunbookVersion.id == _searched())
        .where(Runbook.id.in_(ids))
    ).all()
    signals = _signals(session, [row[4] for row in rows])
    found = [
        {
            "id": runbook_id,
            "title": _joined(title, slug),
            "failure_mode": _joined(mode or "", failure_mode_title(mode or ""), owner or ""),
            "signals": " ".join(signals.get(version_id, ())),
            "body": _joined(readable(text_of(source)))[:INDEXED_CHARACTERS],
        }
        for runbook_id, slug, mode, owner, version_id, title, source in rows
    ]
    if not found:
        return
    if is_sqlite():
        session.execute(
            text("DELETE FROM runbook_search WHERE rowid = :id"),
            [{"id": one["id"]} for one in found],
        )
        session.execute(
            text(
                "INSERT INTO runbook_search (rowid, title, failure_mode, signals, body) "
                "VALUES (:id, :title, :failure_mode, :signals, :body)"
            ),
            found,
        )
        return
    for one in found:
        new = postgresql_insert(_lines).values(runbook_id=one["id"], words=_tsvector(one))
        session.execute(
            new.on_conflict_do_update(
                index_elements=["runbook_id"], set_={"words": new.excluded.words}
            )
        )


def _tsvector(one: dict[str, Any]) -> ColumnElement[Any]:
    whole: ColumnElement[Any] | None = None
    for weight, part in (("A", "title"), ("B", "signals"), ("C", "failure_mode"), ("D", "body")):
        for configuration in ("simple", "english"):
            words = func.setweight(
                func.to_tsvector(configuration, one[part]), literal_column(f"'{weight}'::\"char\"")
            )
            whole = words if whole is None else whole.op("||")(words)
    assert whole is not None
    return whole


def _signals(session: Session, version_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for version_id, alertname, metric, condition in session.execute(
        select(
            RunbookSignal.version_id,
            RunbookSignal.alertname,
            RunbookSignal.metric,
            RunbookSignal.condition,
        ).where(RunbookSignal.version_id.in_(version_ids))
    ):
        words = found.setdefault(version_id, [])
        if alertname:
            said = condition.get("alertname")
            words += words_of_name(said if isinstance(said, str) else alertname)
        if metric:
            words += plain_words(metric)
    return found


def words_of_name(name: str) -> list[str]:
    """RecsysHomeP99High by any word on: recsyshomep99high, homep99high, p99high, high, …"""
    parts = kebab(name).split("-")[:MOST_WORDS]
    joined = ["".join(parts[start:]) for start in range(len(parts))]
    return [*dict.fromkeys([*plain_words(name), *parts, *joined])]


def _joined(*said: str) -> str:
    return " ".join(word for one in said for word in plain_words(one))
