"""The corridor every call walks, in order. `pipeline.py` is the whole walk on one screen."""
