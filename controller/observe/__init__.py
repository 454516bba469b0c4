"""From clients to observations: who looks at what, how often, and what is kept when a look fails.

Nothing is decided here. May import the ports and the core; imported by ``controller.reconcile`` and what wires it up.
"""
