"""What works with an installed release and would stop with this one, topic by topic.

A topic is a module with a pure function over the parsed pools, which returns findings (:mod:`.findings`); ``upgrade-check`` calls
them all, and is the only importer.
"""
