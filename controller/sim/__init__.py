"""GitHub and the Hub as synchronous, stateful worlds, and the doors that lead into them.

Shipped with the product: ``make demo``, the tests and ``simulate`` run the real controller against these worlds.
The worlds (``github``, ``hub``) import of the controller only ``controller.ports``, so that they cannot share its beliefs
(``lint-imports`` checks it); the engine that runs a whole controller against them may import what the wiring may. Nothing below the
command line may import it.
"""
