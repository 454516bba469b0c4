"""What a job asks for: the body of ``POST /api/jobs/{namespace}``, validated as the Hub documents it."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from hf_runner_simulators.http import JSON
from hf_runner_simulators.hub.errors import HubError
from hf_runner_simulators.hub.flavors import FLAVORS

# ``.`` passes a first check of the real Hub, then fails because labels are stored as tags.
LabelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,100}$")]
NetworkGroup = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,46}$")]
NetworkAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,34}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class _Part(BaseModel):
    """Unknown fields are dropped, as the Hub does; types are not coerced."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, strict=True)

    def to_json(self) -> JSON:
        return self.model_dump(by_alias=True, exclude_none=True)


class Volume(_Part):
    """A repository or bucket that is mounted."""

    type: Literal["bucket", "model", "dataset", "space"]
    source: str
    mount_path: Annotated[str, StringConstraints(pattern="^/")]
    revision: str | None = None
    read_only: bool | None = None
    path: str | None = None


class Expose(_Part):
    """Ports that the Jobs proxy exposes."""

    ports: list[Port]
    ports_public: list[Port] = Field(default_factory=list)

    @model_validator(mode="after")
    def _public_ports_are_ports(self) -> Self:
        if not set(self.ports_public) <= set(self.ports):
            raise ValueError("portsPublic must be a subset of ports")
        return self


class Ssh(_Part):
    """Whether the container is reachable over SSH."""

    enabled: bool


class Network(_Part):
    """A group of jobs that reach each other."""

    group: NetworkGroup
    aliases: list[NetworkAlias] = Field(default_factory=list)


class Labels(_Part):
    """The body of ``PUT .../labels``."""

    labels: dict[LabelKey, LabelValue]


class JobSpec(_Part):
    """A job's specification."""

    docker_image: str | None = None
    space_id: str | None = None
    command: list[str] | None = None
    arguments: list[str] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    flavor: str
    arch: Literal["amd64", "arm64"] | None = None
    timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    attempts: Annotated[int, Field(ge=1)] = 1
    labels: dict[LabelKey, LabelValue] | None = None
    volumes: list[Volume] | None = None
    expose: Expose | None = None
    ssh: Ssh | None = None
    network: Network | None = None
    resource_group_id: str | None = None

    @field_validator("flavor")
    @classmethod
    def _flavor_exists(cls, flavor: str) -> str:
        if flavor not in FLAVORS:
            raise ValueError(f"unknown flavor {flavor!r}, expected one of: {', '.join(FLAVORS)}")
        return flavor

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if (self.docker_image is None) == (self.space_id is None):
            raise ValueError("exactly one of dockerImage and spaceId is required")
        return self


Part = TypeVar("Part", bound=_Part)


def parse(kind: type[Part], payload: JSON) -> Part:
    """Validate a request's body.

    Raises:
        HubError: 400, naming the first field that is wrong and never its value, which may be a secret.
    """
    try:
        return kind.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HubError(400, f"Invalid request: {where + ': ' if where else ''}{first['msg']}") from None
