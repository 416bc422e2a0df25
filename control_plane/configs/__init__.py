"""Configs: how a workspace's calls are routed."""
