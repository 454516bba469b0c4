"""Turns planned actions into effects, one runner at a time, in an order that survives a crash at any point.

May import ports and the core. Whoever assembles a controller imports it, and the commands for its defaults.
"""
