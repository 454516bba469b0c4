"""RunnerPool ``hfrunners.dev/v1alpha1`` as typed models: defaults, validation, status, and what is generated
from them (CRD, reference).

Whatever reads or writes RunnerPools may import it, from ``adapters`` upwards; it imports
only ``controller.core``.
"""
