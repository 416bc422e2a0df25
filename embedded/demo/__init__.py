"""Demonstration traffic: a stand-in for many providers' models, and teams that call them through a running gateway."""
