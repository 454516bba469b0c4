"""What ``check`` looks at: manifests, GitHub, the Hub and Kubernetes, a module each. Nothing here has
an effect on any of them.

Imported by the command alone.
"""
