"""What operators write: node.toml with its overrides, and the genesis document."""
