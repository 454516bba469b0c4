"""The Grafana dashboard from its description, and a real Prometheus to try dashboard and rules on.

``dashboard.json`` is generated: every query needs the same selectors, every panel an id and a place, and five
hundred lines that say what is shown are easier to keep right than two thousand lines of JSON.
"""
