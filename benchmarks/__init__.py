"""Figures of speed, size and traffic, measured on the machine at hand:
``python -m benchmarks``, or ``make bench``.

Not shipped; may import everything in ``controller`` and ``tools``, and nothing may import
it but its own tests.
"""
