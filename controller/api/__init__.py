"""RunnerPool ``hfrunners.dev/v1alpha1`` as typed models: defaults, validation, status, and what is generated from them (CRD, reference).

``operator``, ``reconcile``, ``cli`` and ``sim`` may import it; it imports only ``controller.core``.
"""
