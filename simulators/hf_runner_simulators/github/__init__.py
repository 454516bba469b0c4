"""GitHub as one synchronous, stateful world: accounts, workflow runs and jobs, runners, and
the HTTP face over them.

``world.GitHubWorld`` holds the verbs, ``http.GitHubSite`` answers requests with them. Imports nothing of the
controller but its ports, and nothing of the simulation but ``http`` and ``odd_words``.
"""
