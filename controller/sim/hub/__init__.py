"""The Hub's Jobs service as a synchronous, stateful world, its HTTP routes, and the machines that run its jobs.

Used by ``serve``, the tests and ``simulate``; imports nothing of the controller but its ports.
"""
