"""GitHub as one synchronous, stateful world: accounts, workflow runs and jobs, runners, and the HTTP face over them.

``world.GitHubWorld`` holds the verbs, ``http.GitHubSite`` answers requests with them. May import ``controller.ports``
and ``controller.sim.http``; only doors, scenarios, tests and the command line may import it.
"""
