"""What the clients of one account have in common: its endpoint and its token."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from controller.adapters.counted import Counted
from controller.adapters.credential import Credential
from controller.adapters.huggingface.session import Session
from controller.adapters.huggingface.wire import Wire
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import Disposition, Failure, HubAccount, SecretRef
from controller.core.reasons import Reason
from controller.core.text import text
from controller.ports import Clock, UpstreamError

_TOKEN = re.compile(r"[\x21-\x7e]+")

_SHOWN_KEYS = 200
"""Characters of a Secret's keys in a message."""


class AccountClient(Counted):
    """Some calls of one account.

    Args:
        account: Endpoint, namespace, and the Secret's name for messages.
        credential: The account's token, from :func:`token_from_secret`.
        session: From :func:`controller.adapters.huggingface.session.open_session`; shared, so it is not
            closed here.
        clock: Time.
        meter: Told of the HTTP status of every answer.
        failed: Told why a call of a port failed.
        hosts: To which hosts requests may go.
        may_end: Returns whether reads and cancellations may go to an endpoint that is not among them.
    """

    def __init__(
        self,
        *,
        account: HubAccount,
        credential: Credential[str],
        session: Session,
        clock: Clock,
        meter: Callable[[int], None] = lambda _: None,
        failed: Callable[[Reason], None] = lambda _: None,
        hosts: Hosts = DEFAULT_HOSTS,
        may_end: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(failed)
        self._account = account
        self._clock = clock
        self._wire = Wire(
            session=session,
            endpoint=account.endpoint,
            credential=credential,
            clock=clock,
            account=account,
            meter=meter,
            hosts=hosts,
            may_end=may_end,
        )


def token_from_secret(data: Mapping[str, str], *, ref: SecretRef) -> str:
    """Return the Hugging Face token of a Secret's key ``token``, without white space around it.

    Args:
        data: Decoded keys.
        ref: Which Secret it is, for messages.

    Raises:
        UpstreamError: ``SecretMalformed``: there is none, or it cannot be sent in a header.
    """
    if "token" not in data:
        keys = text(", ".join(sorted(data)), _SHOWN_KEYS) or "none"
        raise _malformed(f"Secret {ref} has no key 'token' with a Hugging Face token; it has {keys}")
    token = data["token"].strip()
    if not _TOKEN.fullmatch(token):
        raise _malformed(
            f"Secret {ref}: the token is empty or has characters that no token has; store the bare token (hf_...), nothing else."
        )
    return token


def _malformed(message: str) -> UpstreamError:
    return UpstreamError(
        Failure(reason=Reason.SecretMalformed, message=message, disposition=Disposition.PERSON)
    )
