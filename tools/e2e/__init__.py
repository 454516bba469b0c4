"""The product as people meet it: helm, kubectl and the image, on a real cluster, with GitHub and
the Hub simulated inside it.

``make e2e`` plays ``story`` against the current kubeconfig, with the acts of ``upgrade`` in it, on the
``stage`` of both. ``cluster`` is kubectl and Helm as somebody types them, ``services`` the simulated
services, ``before`` the version before this one. Nothing may import this package.
"""
