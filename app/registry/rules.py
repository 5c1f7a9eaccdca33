"""Names, tags, keys, and which model an alert belongs to: pure functions."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

TIERS = {
    1: "Tier 1, the business stops without it",
    2: "Tier 2, customers notice",
    3: "Tier 3, colleagues notice",
    4: "Tier 4, nobody is in a hurry",
}
REGIONS = {"us": "United States", "eu": "European Union"}

MAX_SLUG = 80
MAX_TEAM_NAME = 120
MAX_PURPOSE = 2000
MAX_TAGS = 20
MAX_TAG = 40
MAX_MATCHERS = 50
MAX_LABELS = 20
MAX_LABEL_NAME = 200
MAX_LABEL_VALUE = 1000

# Pages of their own under /models/ and /teams/.
RESERVED_SLUGS = {"new", "import", "try"}

SLUG = re.compile(r"[a-z0-9]+(?:-+[a-z0-9]+)*")
TAG = re.compile(r"[a-z0-9][a-z0-9._:/-]*")
ROUTING_KEY = re.compile(r"[0-9A-Za-z]{32}")
SERVICE_ID = re.compile(r"[0-9A-Z]{1,40}")
LABEL_NAME = re.compile(r"""[^\s=,"'{}!~]+""")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'')
ESCAPED = re.compile(r"\\(.)")

# One matcher: label name -> value, in which * stands for any run of characters.
Matcher = dict[str, str]


def slug_refusal(slug: str) -> str | None:
    """Say why a name can't stand in an address; None if it can."""
    if not slug:
        return "A name is needed."
    if len(slug) > MAX_SLUG:
        return f"A name has at most {MAX_SLUG} characters; this one has {len(slug)}."
    if not SLUG.fullmatch(slug):
        return (
            "A name is made of lower case letters, digits and dashes, "
            f"and starts and ends with a letter or digit. {_suggestion(slug)}"
        ).strip()
    if slug in RESERVED_SLUGS:
        return f"“{slug}” is the address of a page. Choose another name."
    return None


def slug_from(words: str) -> str:
    """A slug made of the words; empty if none of their characters can be kept."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower())[:MAX_SLUG].strip("-")


def _suggestion(slug: str) -> str:
    better = slug_from(slug)
    return f"“{better}” would do." if better and better not in RESERVED_SLUGS else ""


def parse_tags(text: str) -> tuple[str, ...]:
    """Tags separated by commas or spaces, in lower case, sorted, each once."""
    return tuple(sorted({tag.lower() for tag in re.split(r"[,\s]+", text) if tag}))


def tags_refusal(tags: Sequence[str]) -> str | None:
    if len(tags) > MAX_TAGS:
        return f"A model has at most {MAX_TAGS} tags; these are {len(tags)}."
    for tag in tags:
        if len(tag) > MAX_TAG:
            return f"A tag has at most {MAX_TAG} characters; “{tag[:MAX_TAG]}…” is longer."
        if not TAG.fullmatch(tag):
            return (
                f"“{tag}” can't be a tag: use lower case letters, digits "
                "and . _ : / - after the first."
            )
    return None


def tier_refusal(tier: int) -> str | None:
    return None if tier in TIERS else "A tier is 1, 2, 3 or 4."


def routing_key_refusal(key: str) -> str | None:
    """Say why this is no routing key of PagerDuty. Never repeats the key."""
    if ROUTING_KEY.fullmatch(key):
        return None
    return (
        "A PagerDuty routing key has exactly 32 letters and digits. Copy it whole from the "
        "service’s Events API v2 integration."
    )


def service_id_refusal(service_id: str) -> str | None:
    if not service_id or SERVICE_ID.fullmatch(service_id):
        return None
    return "A PagerDuty service id is made of capital letters and digits, as in PABC123."


def chat_url_refusal(url: str) -> str | None:
    if not url or re.fullmatch(r"https://[^\s/]+\S*", url):
        return None
    return "A chat link starts with https:// and has no spaces."


# --- Matchers ---------------------------------------------------------------------------------


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """One matcher from each line, as in `model_name="recsys-home", namespace="prod-*"`.

    Spaces, empty lines, braces around a line and missing quotes don't matter. Raises ValueError
    with a sentence that names the line.
    """
    found: list[Matcher] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        try:
            labels = _parse_pairs(line)
        except ValueError as error:
            raise ValueError(f"Line {number}: {error}") from None
        if why := matcher_refusal(labels):
            raise ValueError(f"Line {number}: {why}")
        if labels not in found:
            found.append(labels)
    if len(found) > MAX_MATCHERS:
        raise ValueError(f"A model has at most {MAX_MATCHERS} matchers; these are {len(found)}.")
    return tuple(found)


def matcher_refusal(labels: Matcher) -> str | None:
    """Say why these labels can't be a matcher; None if they can."""
    if not labels:
        return "A matcher needs at least one label."
    if len(labels) > MAX_LABELS:
        return f"A matcher has at most {MAX_LABELS} labels; this one has {len(labels)}."
    for name, value in labels.items():
        if not LABEL_NAME.fullmatch(name) or len(name) > MAX_LABEL_NAME:
            return f"“{name[:40]}” can't be the name of a label."
        if not value:
            return f"{name} has no value. Say what it must equal, or leave it out."
        if len(value) > MAX_LABEL_VALUE:
            return f"The value of {name} is longer than {MAX_LABEL_VALUE} characters."
    return None


def matcher_text(labels: Mapping[str, str]) -> str:
    """A matcher as it is written, labels by name: a database need not keep their order."""
    return ", ".join(f'{name}="{_escape(labels[name])}"' for name in sorted(labels))


def matchers_text(matchers: Iterable[Mapping[str, str]]) -> str:
    """Matchers one per line, as `parse_matchers` reads them."""
    return "\n".join(matcher_text(labels) for labels in matchers)


def parse_labels(text: str) -> dict[str, str]:
    """The labels of one alert: lines or commas between `name=value`, or a JSON object.

    Raises ValueError with a sentence.
    """
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            # A whole alert will do as well.
            labels = document.get("labels")
            pairs = labels if isinstance(labels, dict) else document
            return {str(name): str(value) for name, value in pairs.items()}
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            found.update(_parse_pairs(line))
        except ValueError as error:
            raise ValueError(f"Line {number}: {error}") from None
    return found


def _parse_pairs(line: str) -> dict[str, str]:
    rest = line.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1]
    labels: dict[str, str] = {}
    while rest := rest.strip(", \t"):
        name, value, rest = _take_pair(rest)
        if name in labels:
            raise ValueError(f"{name} stands there twice.")
        labels[name] = value
    return labels


def _take_pair(text: str) -> tuple[str, str, str]:
    """The first `name=value` and what follows it."""
    named = LABEL_NAME.match(text)
    if named is None:
        raise ValueError(f"a label’s name is expected where “{text[:20]}” stands.")
    name, rest = named[0], text[named.end() :].lstrip()
    if rest[:2] in {"=~", "!=", "!~"}:
        raise ValueError(
            f"{rest[:2]} is not known here. Write {name}=… with * for any run of characters."
        )
    if not rest.startswith("="):
        raise ValueError(f"an = is expected after {name}, as in {name}=“…”.")
    rest = rest[1:].lstrip()
    if rest[:1] in {'"', "'"}:
        quoted = QUOTED.match(rest)
        if quoted is None:
            raise ValueError(f"the quote that opens after {name}= is not closed.")
        inside = quoted[1] if quoted[1] is not None else quoted[2]
        return name, ESCAPED.sub(_unescape, inside), rest[quoted.end() :]
    bare, _, rest = rest.partition(",")
    if re.search(r"""[="']""", bare):
        raise ValueError(
            f"put a comma between labels, and quotes around a value that holds = (see {name})."
        )
    return name, bare.strip(), rest


def _escape(value: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return value


def _unescape(found: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r", "\\": "\\", '"': '"', "'": "'"}.get(found[1], found[0])


# --- Routing ----------------------------------------------------------------------------------

# By these labels a model without matchers is found, if their value is its slug.
DEFAULT_LABELS = ("model", "model_name")
CACHED_ANSWERS = 65_536


OWN_LABEL = "baton_model"  # on alerts of Baton's own panels
MOST_LABELS = 1_000  # more than a matcher can have


@dataclass(frozen=True, slots=True)
class RoutingRow:
    """What routing needs to know of one model in production."""

    model_id: int
    slug: str
    team_id: int
    tier: int
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """The model an alert belongs to, and why, in words that follow “because”."""

    model_id: int
    slug: str
    team_id: int
    tier: int
    why: str


Exact = tuple[tuple[str, str], ...]
Globs = tuple[tuple[str, tuple[str, ...]], ...]  # label, and the texts between its stars


@dataclass(frozen=True, slots=True)
class Claim:
    """One matcher of one model, taken apart. A lower rank is tried before a higher one."""

    rank: int
    row: RoutingRow
    exact: Exact
    globs: Globs

    def fits(self, labels: Mapping[str, str]) -> bool:
        # Plain loops: this runs for each alert, and generators cost more than what they do here.
        for name, value in self.exact:
            if labels.get(name) != value:
                return False
        for name, parts in self.globs:
            if name not in labels or not glob_fits(parts, labels[name]):
                return False
        return True

    def match(self, labels: Mapping[str, str]) -> Match:
        reasons = {name: f"{name} is {value}" for name, value in self.exact}
        for name, parts in self.globs:
            reasons[name] = f"{name} is {labels[name]}, which fits {'*'.join(parts)}"
        why = " and ".join(reasons[name] for name in sorted(reasons))
        row = self.row
        return Match(
            row.model_id,
            row.slug,
            row.team_id,
            row.tier,
            f"label {why}",
        )


def glob_fits(parts: Sequence[str], value: str) -> bool:
    """Whether the parts stand in the value in order, the first and last at its ends.

    Linear, where a regular expression with many stars would try every way to cut.
    """
    first, *middle, last = parts
    position, end = len(first), len(value) - len(last)
    if position > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in middle:
        position = value.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


class Routing:
    """Finds the model of an alert by its labels. Built once from rows, then never changed.

    Of several matchers that fit, the one with most labels wins, then the one with fewest stars,
    then the model that was added first. Each claim hangs on one of its labels: on the exact pair
    that fewest others hold, or, if it has only globs, on what stands before a first star.
    """

    def __init__(self, rows: Iterable[RoutingRow]) -> None:
        claims = _claims(rows)
        holders = Counter(pair for claim in claims for pair in claim.exact)
        self._exact: dict[tuple[str, str], list[Claim]] = {}
        self._globs: dict[str, dict[int, dict[str, list[Claim]]]] = {}
        for claim in claims:
            if claim.exact:
                rarest = min(claim.exact, key=lambda pair: holders[pair])
                self._exact.setdefault(rarest, []).append(claim)
            else:
                name, parts = max(claim.globs, key=lambda glob: len(glob[1][0]))
                start = parts[0]
                by_start = self._globs.setdefault(name, {}).setdefault(len(start), {})
                by_start.setdefault(start, []).append(claim)
        self._known = frozenset(
            name for claim in claims for name, _ in (*claim.exact, *claim.globs)
        )
        self._answer = lru_cache(CACHED_ANSWERS)(self._search)

    def find(self, labels: Mapping[str, str]) -> Match | None:
        """The model that an alert with these labels belongs to; None: nobody claims it."""
        # Only labels that some matcher names can change the answer, so alerts that differ in
        # pod or instance share one.
        known = self._known
        return self._answer(tuple(pair for pair in labels.items() if pair[0] in known))

    def _search(self, pairs: tuple[tuple[str, str], ...]) -> Match | None:
        labels = dict(pairs)
        best: Claim | None = None
        for claims in self._nearby(pairs):
            for claim in claims:  # best rank first
                if best is not None and claim.rank > best.rank:
                    break
                if claim.fits(labels):
                    best = claim
                    break
        return best.match(labels) if best is not None else None

    def _nearby(self, pairs: Iterable[tuple[str, str]]) -> Iterator[Sequence[Claim]]:
        for pair in pairs:
            if claims := self._exact.get(pair):
                yield claims
        for name, value in pairs:
            for length, by_start in self._globs.get(name, {}).items():
                if claims := by_start.get(value[:length]):
                    yield claims


def _claims(rows: Iterable[RoutingRow]) -> list[Claim]:
    drafts: list[tuple[int, int, int, RoutingRow, Exact, Globs]] = []
    for row in rows:
        # What Baton itself says of a model is that model's, whatever its matchers ask for.
        drafts.append((-MOST_LABELS, 0, row.model_id, row, ((OWN_LABEL, row.slug),), ()))
        for matcher in row.matchers or tuple({name: row.slug} for name in DEFAULT_LABELS):
            exact = tuple((name, value) for name, value in matcher.items() if "*" not in value)
            globs = tuple(
                (name, tuple(value.split("*"))) for name, value in matcher.items() if "*" in value
            )
            drafts.append((-len(matcher), len(globs), row.model_id, row, exact, globs))
    drafts.sort(key=lambda draft: draft[:3])
    return [Claim(rank, *draft[3:]) for rank, draft in enumerate(drafts)]
