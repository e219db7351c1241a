"""The embedded Azure: an HTTP server that answers the real SDKs, for the demo, for tests and for training.

It knows nothing of the product that talks to it. State is computed from a clock when asked; there are no background
tasks.
"""
