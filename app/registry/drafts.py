"""What people hand in: one frozen value for a form, a request body or an entry of a file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from app.registry.rules import Matcher, matchers_text


@dataclass(frozen=True, slots=True)
class ModelDraft:
    """All of a model that people write. Teams go by slug, people by address."""

    slug: str
    team: str
    tier: int
    purpose: str = ""
    deputy: str | None = None
    tags: tuple[str, ...] = ()
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class TeamDraft:
    """All of a team that people write, but for its pager."""

    slug: str
    name: str
    chat_url: str | None = None
    members: tuple[str, ...] = ()  # addresses
    triages: bool = False


@dataclass(frozen=True, slots=True)
class PagerDraft:
    """How a team is paged. A key of None keeps the one that is stored; an empty one removes it."""

    region: str
    service_id: str | None = None
    routing_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TeamEntry:
    """A team in a file. What is None stays as it is, or gets its default if the team is new."""

    slug: str | None  # none: the team of that name, or an address made of it
    name: str
    chat_url: str | None = None
    members: tuple[str, ...] | None = None
    triages: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model in a file. What is None stays as it is, or gets its default if the model is new."""

    slug: str
    team: str | None = None  # slug or name
    tier: int | None = None
    purpose: str | None = None
    deputy: str | None = None  # an address; empty: nobody
    tags: tuple[str, ...] | None = None
    matchers: tuple[Matcher, ...] | None = None


@dataclass(frozen=True, slots=True)
class RegistryFile:
    teams: tuple[TeamEntry, ...] = ()
    models: tuple[ModelEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of two drafts that differ in it, as it is written on a page."""

    field: str
    before: str
    after: str


LABELS = {
    "name": "Name",
    "slug": "Address",
    "chat_url": "Chat link",
    "members": "Members",
    "triages": "Triage",
    "team": "Team",
    "tier": "Tier",
    "purpose": "Purpose",
    "deputy": "Deputy",
    "tags": "Tags",
    "matchers": "Matchers",
}


def differences(
    before: ModelDraft | TeamDraft | None, after: ModelDraft | TeamDraft
) -> list[FieldChange]:
    """The fields in which two drafts of one thing differ; of a new one those that say something."""
    found = []
    for each in fields(after):
        was, is_now = _said(getattr(before, each.name, None)), _said(getattr(after, each.name))
        if was != is_now:
            found.append(FieldChange(label(after, each.name), was, is_now))
    return found


def label(draft: ModelDraft | TeamDraft, field: str) -> str:
    # A team has a name beside its address; what people call a model is its address.
    return "Name" if field == "slug" and isinstance(draft, ModelDraft) else LABELS[field]


def _said(value: object) -> str:
    match value:
        case None | "" | 0 | ():  # also False
            return ""
        case True:
            return "yes"
        case tuple() if isinstance(value[0], dict):
            return matchers_text(value)
        case tuple():
            return ", ".join(value)
    return str(value)


def each_once(words: Iterable[str]) -> tuple[str, ...]:
    """Sorted, so that two drafts that say the same are equal."""
    return tuple(sorted(set(words)))


def matchers_once(matchers: Sequence[Matcher]) -> tuple[Matcher, ...]:
    return tuple(labels for place, labels in enumerate(matchers) if labels not in matchers[:place])
