"""The outside world over the wire: one folder for each system that the controller talks to.

Each implements ports of ``controller.ports``, knows nothing of the others, and is imported only by what wires the controller up.
"""
