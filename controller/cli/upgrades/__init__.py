"""What works with an installed release and would stop with this one, topic by topic.

A topic is a module: what it must ask the cluster, and a pure function that makes findings (:mod:`.findings`)
of that and of the parsed pools. ``upgrade-check`` calls them all, and is the only importer.
"""
