"""The control plane: owns configs, keys, people and analytics, and tells gateways what to do."""
