"""Organisations: the customers. Made by the first run or by an instance command, read and renamed by their people."""
