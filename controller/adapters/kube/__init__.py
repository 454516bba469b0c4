"""Kubernetes beyond what kopf has verbs for: Secrets, status by server-side apply, Events, complete lists.

May import ``controller.core`` and ``controller.ports``; nothing else of the controller.
"""
