"""The real operator in trouble: processes on a real API server against the simulated services,
killed, stopped and cut off.

``python -m tools.chaos`` (``make chaos``) is a storm with a verdict; tests of single
troubles use the same parts.
"""
