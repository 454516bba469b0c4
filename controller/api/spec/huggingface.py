"""``spec.huggingface``: where the runners run, and who pays."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from controller.api import address
from controller.api.rules import Strict, matches
from controller.api.spec.names import SecretName

HF_NAMESPACE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"


class HuggingFace(Strict):
    """Where the runners run, and who pays."""

    namespace: Annotated[
        str,
        Field(max_length=96),
        matches(HF_NAMESPACE, "write a user or organization name as in its address on the Hub"),
    ] = Field(description="User or organization on the Hub that owns the HF Jobs and pays for them.")
    token_secret: SecretName = Field(
        description="Name of a Secret in the pool's namespace; its key token holds a Hugging Face token that may write "
        "Jobs in the namespace. Runners never get it."
    )
    endpoint: Annotated[
        str,
        Field(max_length=300),
        matches(address.ENDPOINT_URL, "write the Hub's base address, such as https://huggingface.co"),
        address.SafeHttp(),
    ] = Field(
        default="https://huggingface.co",
        description="Base address of the Hub; its host must be one of the controller's --hub-endpoint (huggingface.co if none is given). "
        "Plain http is for simulators, as in github.url.",
    )
