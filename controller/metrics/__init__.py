"""What is measured of one process, for Prometheus.

May import the ports and the core; imported by ``controller.app``, and by adapters only through ports.
"""
