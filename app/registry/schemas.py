"""The registry as JSON, in and out."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from app.registry import rules
from app.registry.drafts import ModelDraft, TeamDraft, each_once, matchers_once
from app.registry.imports import Plan, Step
from app.registry.tables import MlModel, Team
from app.web.texts import Strict

Value = TypeVar("Value")


def obeys(rule: Callable[[Value], str | None]) -> AfterValidator:
    """Refuse a value with the sentence that the rule has for it."""

    def check(value: Value) -> Value:
        if why := rule(value):
            raise ValueError(why)
        return value

    return AfterValidator(check)


def read_matcher(said: object) -> object:
    """A matcher may be a line of text, as on the page, instead of an object of labels."""
    if not isinstance(said, str):
        return said
    found = rules.parse_matchers(said)
    if len(found) != 1:
        raise ValueError("Write one matcher in each entry of the list.")
    return found[0]


Words = Annotated[str, AfterValidator(str.strip)]
Slug = Annotated[str, obeys(rules.slug_refusal)]
Tier = Annotated[
    int, Field(json_schema_extra={"minimum": 1, "maximum": 4}), obeys(rules.tier_refusal)
]
Purpose = Annotated[Words, Field(max_length=rules.MAX_PURPOSE)]
TeamName = Annotated[Words, Field(min_length=1, max_length=rules.MAX_TEAM_NAME)]
Address = Annotated[Words, AfterValidator(str.lower), Field(max_length=254)]
Tags = Annotated[
    list[Annotated[str, AfterValidator(str.lower)]],
    Field(max_length=100),
    obeys(rules.tags_refusal),
]
Matcher = Annotated[dict[str, str], BeforeValidator(read_matcher), obeys(rules.matcher_refusal)]
Matchers = Annotated[
    list[Matcher],
    Field(
        max_length=rules.MAX_MATCHERS,
        description="Labels by which an alert is this model's: all of one entry must fit, any "
        "entry will do, * stands for any run of characters. An entry may be an object or a line "
        'of text as in model_name="recsys-home". None at all: a label model or model_name that '
        "equals the slug.",
    ),
]
ChatUrl = Annotated[Words, Field(max_length=500), obeys(rules.chat_url_refusal)]
Members = Annotated[
    list[Address], Field(max_length=1000, description="Email addresses of people with an account.")
]
Region = Literal["us", "eu"]


class ModelIn(Strict):
    slug: Slug
    team: Slug = Field(description="Slug of the team that owns it.")
    tier: Tier
    purpose: Purpose = ""
    deputy: Address | None = None
    tags: Tags = []
    matchers: Matchers = []

    def as_draft(self) -> ModelDraft:
        return ModelDraft(
            slug=self.slug,
            team=self.team,
            tier=self.tier,
            purpose=self.purpose,
            deputy=self.deputy or None,
            tags=each_once(self.tags),
            matchers=matchers_once(self.matchers),
        )


class ModelPatch(Strict):
    """What is left out, or null, stays. A deputy of "" is nobody."""

    slug: Slug | None = None
    team: Slug | None = None
    tier: Tier | None = None
    purpose: Purpose | None = None
    deputy: Address | None = None
    tags: Tags | None = None
    matchers: Matchers | None = None

    def onto(self, now: ModelDraft) -> ModelDraft:
        return ModelDraft(
            slug=self.slug or now.slug,
            team=self.team or now.team,
            tier=self.tier or now.tier,
            purpose=now.purpose if self.purpose is None else self.purpose,
            deputy=now.deputy if self.deputy is None else self.deputy or None,
            tags=now.tags if self.tags is None else each_once(self.tags),
            matchers=now.matchers if self.matchers is None else matchers_once(self.matchers),
        )


class ModelOut(BaseModel):
    slug: str
    team: str
    tier: int
    purpose: str
    deputy: str | None
    tags: list[str]
    matchers: list[dict[str, str]]
    created_at: datetime
    retired_at: datetime | None
    version: int

    @classmethod
    def of(cls, model: MlModel) -> "ModelOut":
        return cls(
            slug=model.slug,
            team=model.team.slug,
            tier=model.tier,
            purpose=model.purpose,
            deputy=model.deputy.email if model.deputy else None,
            tags=model.tags,
            matchers=[held.labels for held in model.matchers],
            created_at=model.created_at,
            retired_at=model.retired_at,
            version=model.version,
        )


class TeamIn(Strict):
    name: TeamName
    slug: Slug | None = Field(None, description="Left out: made from the name.")
    chat_url: ChatUrl | None = None
    members: Members = []
    triages: bool = Field(
        False,
        description="Takes the incidents that no model claims. One team at most: the flag moves.",
    )

    @model_validator(mode="after")
    def _has_a_slug(self) -> "TeamIn":
        if self.slug is None and rules.slug_refusal(rules.slug_from(self.name)):
            raise ValueError(f"No slug can be made of {self.name}. Give it one.")
        return self

    def as_draft(self) -> TeamDraft:
        return TeamDraft(
            slug=self.slug or rules.slug_from(self.name),
            name=self.name,
            chat_url=self.chat_url or None,
            members=each_once(self.members),
            triages=self.triages,
        )


class TeamPatch(Strict):
    """What is left out, or null, stays. A chat_url of "" takes it away."""

    name: TeamName | None = None
    slug: Slug | None = None
    chat_url: ChatUrl | None = None
    members: Members | None = None
    triages: bool | None = None

    def onto(self, now: TeamDraft) -> TeamDraft:
        return TeamDraft(
            slug=self.slug or now.slug,
            name=self.name or now.name,
            chat_url=now.chat_url if self.chat_url is None else self.chat_url or None,
            members=now.members if self.members is None else each_once(self.members),
            triages=now.triages if self.triages is None else self.triages,
        )


class PagerIn(Strict):
    region: Region
    service_id: Annotated[Words, obeys(rules.service_id_refusal)] | None = None
    routing_key: Annotated[str, obeys(rules.routing_key_refusal)] | None = Field(
        None,
        description="Write only. Left out: the stored one stays. null: the sandbox pager.",
        repr=False,
    )


class PagerOut(BaseModel):
    connected: bool = Field(description="false: pages go to the sandbox pager.")
    key_ends: str | None
    region: Region
    service_id: str | None


class TeamOut(BaseModel):
    slug: str
    name: str
    chat_url: str | None
    members: list[str]
    triages: bool
    pager: PagerOut
    created_at: datetime
    version: int

    @classmethod
    def of(cls, team: Team) -> "TeamOut":
        return cls(
            slug=team.slug,
            name=team.name,
            chat_url=team.chat_url,
            members=[user.email for user in team.members],
            triages=team.triages,
            pager=PagerOut(
                connected=team.routing_key_encrypted is not None,
                key_ends=team.routing_key_last_four,
                region="eu" if team.region == "eu" else "us",
                service_id=team.pagerduty_service_id,
            ),
            created_at=team.created_at,
            version=team.version,
        )


class Listing(Strict):
    cursor: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=200)


class ModelListing(Listing):
    search: Words = Field("", description="Words in the name, purpose, team or deputy.")
    team: str = ""
    tier: Tier | None = None
    tag: str = ""
    retired: bool = False


class TeamListing(Listing):
    search: Words = ""


class ModelPage(BaseModel):
    items: list[ModelOut]
    next: str | None


class TeamPage(BaseModel):
    items: list[TeamOut]
    next: str | None


class BySlug(BaseModel):
    slug: str


class ImportQuery(Strict):
    dry_run: bool = Field(False, description="Only tell what would be done.")


class ChangeOut(BaseModel):
    field: str
    before: str
    after: str


class StepOut(BaseModel):
    kind: Literal["team", "model"]
    slug: str
    does: Literal["create", "change", "keep"]
    changes: list[ChangeOut]


class ImportOut(BaseModel):
    problems: list[str]
    created: int
    changed: int
    kept: int
    steps: list[StepOut]

    @classmethod
    def of(cls, plan: Plan) -> "ImportOut":
        return cls(
            problems=list(plan.problems),
            created=plan.count("create"),
            changed=plan.count("change"),
            kept=plan.count("keep"),
            steps=[_step("team", step) for step in plan.teams]
            + [_step("model", step) for step in plan.models],
        )


def _step(kind: Literal["team", "model"], step: Step[TeamDraft] | Step[ModelDraft]) -> StepOut:
    return StepOut(
        kind=kind,
        slug=step.draft.slug,
        does=step.does,
        changes=[
            ChangeOut(field=change.field, before=change.before, after=change.after)
            for change in step.changes
        ],
    )
