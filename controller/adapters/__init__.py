"""The outside world over the wire: one folder for each system that the controller talks to.

Each implements ports of ``controller.ports`` and knows nothing of the others; the modules beside the folders
are for all of them, but for ``connections``, which puts GitHub's and the Hub's clients together with the
Secrets that pools name. May import ``controller.core``, ``controller.ports`` and, to write statuses,
``controller.api``.
"""
