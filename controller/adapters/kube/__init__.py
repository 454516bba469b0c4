"""Kubernetes beyond what kopf has verbs for: Secrets, status by server-side apply, Events, complete lists.

The only adapter that may import ``controller.api``: it writes statuses in the form that the type has.
"""
