"""The loop: snapshot, plan, execute, publish; ``step()`` is one iteration of it.

May import observe, execute and everything below; the operator and the wiring import it.
"""
