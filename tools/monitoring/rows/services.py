"""Are GitHub and the Hub healthy?"""

from __future__ import annotations

from tools.monitoring.grafana import Kind, Panel, Query, Row
from tools.monitoring.rows.shared import REASONS

SERVICES = Row(
    "Are GitHub and the Hub healthy?",
    (
        Panel(
            title="GitHub quota left",
            about="Share of the hourly requests that each credential has left. Other users of the same credential count too.",
            kind=Kind.SERIES,
            unit="percentunit",
            queries=(
                Query(
                    "min by (credential) (hfrunners_github_quota_remaining{@job} / hfrunners_github_quota_limit{@job})",
                    "{{credential}}",
                ),
            ),
            width=8,
            most=1,
            alerts=("HFRunnersGitHubQuotaLow",),
        ),
        Panel(
            title="Requests to GitHub, by status",
            about="Answers of GitHub per second. 304 costs no quota.",
            kind=Kind.STACK,
            unit="reqps",
            queries=(
                Query(
                    "sum by (code) (rate(hfrunners_github_requests_total{@job}[$__rate_interval]))",
                    "{{code}}",
                ),
            ),
            width=8,
        ),
        Panel(
            title="GitHub errors, by reason",
            about="Calls to GitHub that failed, per second; also those not sent for want of a Secret or by a known limit.",
            kind=Kind.STACK,
            unit="ops",
            queries=(
                Query(
                    "sum by (credential, reason) (rate(hfrunners_github_errors_total{@job}[$__rate_interval])) > 0",
                    "{{reason}} {{credential}}",
                ),
            ),
            width=8,
            alerts=(
                "HFRunnersGitHubCredentialsFailing",
                "HFRunnersCredentialsExpire",
                "HFRunnersGitHubPollsStale",
            ),
            pages=(REASONS,),
        ),
        Panel(
            title="Age of what is known",
            about="How old the looks at GitHub's queue and the lists of HF Jobs are that the controller acts on. Nothing is scaled down on old news.",
            kind=Kind.SERIES,
            unit="s",
            queries=(
                Query(
                    "max by (credential) (hfrunners_github_poll_age_seconds{@job})", "GitHub {{credential}}"
                ),
                Query("max by (account) (hfrunners_hub_list_age_seconds{@job})", "Hub {{account}}"),
            ),
            width=8,
            alerts=("HFRunnersGitHubPollsStale", "HFRunnersHubListStale"),
        ),
        Panel(
            title="Requests to the Hub, by status",
            about="Answers of the Hub per second.",
            kind=Kind.STACK,
            unit="reqps",
            queries=(
                Query(
                    "sum by (code) (rate(hfrunners_hub_requests_total{@job}[$__rate_interval]))", "{{code}}"
                ),
            ),
            width=8,
        ),
        Panel(
            title="Hub errors, by reason",
            about="Calls to the Hub that failed, per second; also those not sent for want of a Secret or by a known limit.",
            kind=Kind.STACK,
            unit="ops",
            queries=(
                Query(
                    "sum by (account, reason) (rate(hfrunners_hub_errors_total{@job}[$__rate_interval])) > 0",
                    "{{reason}} {{account}}",
                ),
            ),
            width=8,
            alerts=(
                "HFRunnersHubCredentialsFailing",
                "HFRunnersHubCreditMissing",
                "HFRunnersHubListStale",
            ),
            pages=(REASONS,),
        ),
    ),
)
