"""From clients to observations: who looks at what, how often, and what is kept when a look fails.

How often to look is decided here, and nothing about pools and runners. May import the ports and the core; imported by
``controller.reconcile``, the wiring, and the commands for its defaults.
"""
