"""What the dashboard shows: five questions, from what people feel down to what the process does."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tools.monitoring.grafana import Dashboard, Query, labels, text_box
from tools.monitoring.rows.controller import CONTROLLER
from tools.monitoring.rows.money import MONEY
from tools.monitoring.rows.served import SERVED
from tools.monitoring.rows.services import SERVICES
from tools.monitoring.rows.waiting import WAITING

DOCS: Final = "https://github.com/hf-runner-controller/hf-runner-controller/blob/main/docs"


def _explore() -> str:
    """Return the address of Grafana Explore with the controller's logs, in the data source
    that ``$loki`` names.
    """
    query = (
        '{"refId":"A","datasource":{"type":"loki","uid":"${loki}"},"expr":"{app=\\"hf-runner-controller\\"}"}'
    )
    panes = f'{{"logs":{{"datasource":"${{loki}}","queries":[{query}],"range":{{"from":"${{__from}}","to":"${{__to}}"}}}}}}'
    return f"/explore?schemaVersion=1&panes={quote(panes, safe='${}_')}"


def _link(title: str, url: str, *, icon: str, about: str) -> dict[str, object]:
    return {
        "asDropdown": False,
        "icon": icon,
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": True,
        "title": title,
        "tooltip": about,
        "type": "link",
        "url": url,
    }


def _annotation(name: str, expr: str, *, title: str, color: str) -> dict[str, object]:
    return {
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "expr": Query(expr).filled,
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "1m",
        "titleFormat": title,
    }


OVERVIEW: Final = Dashboard(
    uid="hf-runner-controller-overview",
    title="GitHub Actions runners on Hugging Face Jobs",
    about="Is everybody served, what waits and why, what does it cost, and are the services and the controller healthy? "
    "Generated from tools/monitoring/overview.py.",
    tags=("hf-runner-controller", "github-actions", "hugging-face"),
    docs=DOCS,
    variables=(
        labels("job", "Job", of="hfrunners_leader"),
        labels("instance", "Instance", of='hfrunners_leader{job=~"$job"}'),
        labels("namespace", "Namespace", of='hfrunners_pool_max_runners{job=~"$job"}'),
        labels("pool", "Pool", of='hfrunners_pool_max_runners{job=~"$job",namespace=~"$namespace"}'),
        text_box(
            "loki",
            "Loki data source",
            about="Name or uid of the Loki data source that the link Logs opens.",
            value="loki",
        ),
    ),
    annotations=(
        _annotation(
            "New leader",
            "hfrunners_leader{@job} == 1 unless hfrunners_leader{@job} offset 1m == 1",
            title="{{instance}} leads",
            color="blue",
        ),
        _annotation(
            "Alerts",
            'ALERTS{alertname=~"HFRunners.+",alertstate="firing"}',
            title="{{alertname}} {{namespace}}/{{pool}}",
            color="red",
        ),
    ),
    links=(
        _link(
            "Runbooks",
            "${docs}/operations/monitoring.md#alerts",
            icon="bolt",
            about="What each alert asks of you",
        ),
        _link("Logs", _explore(), icon="doc", about="The controller's logs in Grafana Explore"),
        _link(
            "Docs", "${docs}/operations/monitoring.md", icon="question", about="How to read this dashboard"
        ),
    ),
    rows=(SERVED, WAITING, MONEY, SERVICES, CONTROLLER),
)
