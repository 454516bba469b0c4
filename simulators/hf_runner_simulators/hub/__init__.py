"""The Hub's Jobs service as a synchronous, stateful world, its HTTP routes, and the
machines that run its jobs.

Imports nothing of the controller but its ports, and nothing of the simulation but ``http`` and ``odd_words``.
"""
