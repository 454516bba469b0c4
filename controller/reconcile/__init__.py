"""The loop: snapshot, plan, execute, publish; ``step()`` is one iteration of it.

May import observe, execute and everything below; whoever assembles a controller imports it: the
wiring, and the simulation.
"""
