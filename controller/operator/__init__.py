"""kopf at the edge: it watches RunnerPools, holds the finalizer while a pool drains, and feeds the registry.

The only package that imports kopf; it decides nothing about pools and runners. Only the wiring imports it.
"""
