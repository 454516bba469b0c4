"""GitHub and the Hub as synchronous, stateful worlds, and the doors that lead into them.

Shipped with the product: ``make demo``, the tests and ``simulate`` run the real controller against these worlds.
May import ``controller.core`` and ``controller.ports``; nothing below the command line may import it.
"""
