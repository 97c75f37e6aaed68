"""Authenticated, prioritised, bounded connections between validators.

Start at `endpoint.open_endpoint` and `peers.Peers`; docs/network.md is the map. The only
package that imports aioquic.
"""
